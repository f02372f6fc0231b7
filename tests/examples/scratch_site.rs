#![allow(clippy::print_stdout, missing_docs)]
use acceptance::Site;
fn main() {
    let n: u32 = std::env::args().nth(1).unwrap().parse().unwrap();
    let dir = std::env::args().nth(2).unwrap();
    let site = Site::new(n);
    for (k, v) in site.environment() {
        let v = v.replace(site.dir.path().to_str().unwrap(), &dir);
        println!("export {k}='{v}'");
    }
    println!("export APP_URL='{}'", site.old.app_url);
    for (name, s) in [("SRC", site.source), ("TGT", site.target)] {
        println!("export {name}_SUPER='{}'", s.url_as("postgres", s.superuser_password(), "oviya"));
        let d = s.detach().unwrap();
        println!("export {name}_PID={} {name}_FOLDER={}", d.pid, d.folder.display());
    }
}
