//! Temporary.
use runbook::{Context, Event, Reporter};
use std::sync::Arc;
struct P;
impl Reporter for P {
    fn report(&self, e: Event) {
        match e {
            Event::Note { text, .. } => eprintln!("note: {text}"),
            Event::Progress { .. } => {}
            e => eprintln!("{e:?}"),
        }
    }
}
#[tokio::main]
async fn main() {
    let a: Vec<String> = std::env::args().collect();
    let cx = Context::detached("trial", Arc::new(P));
    let s: pg_session::PgUrl = a[2].parse().unwrap();
    let t: pg_session::PgUrl = a[3].parse().unwrap();
    let r = match a[1].as_str() {
        "assess" => pgmigrate::assess(&pgmigrate::AssessOptions { source: s, target: t, requires: vec![] }, &cx)
            .await
            .map(|r| serde_json::to_string_pretty(&r).unwrap()),
        "copy" => {
            let mut o = pgmigrate::CopyOptions::new(s, t);
            o.jobs = a.get(4).map(|j| j.parse().unwrap());
            pgmigrate::copy(&o, &cx).await.map(|r| serde_json::to_string_pretty(&r).unwrap())
        }
        "verify" => pgmigrate::verify(&pgmigrate::VerifyOptions::new(s, t), &cx)
            .await
            .map(|r| serde_json::to_string_pretty(&r).unwrap()),
        "undo" => pgmigrate::copy_undo(&t, &cx).await.map(|_| "undone".into()),
        _ => panic!(),
    };
    match r {
        Ok(s) => println!("{s}"),
        Err(e) => {
            let f: runbook::Failure = e.into();
            println!("{f:#?}");
            std::process::exit(1)
        }
    }
}
