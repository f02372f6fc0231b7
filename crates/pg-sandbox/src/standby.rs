//! A hot standby of a running server.

use crate::server::configuration_lines;
use crate::{PgServer, SandboxError};

impl PgServer {
    /// Makes a hot standby that streams from this server, with further settings; returns when it accepts connections.
    pub fn start_standby(&self, settings: &[(&str, &str)]) -> Result<Self, SandboxError> {
        let mut standby = Self::unborn(self.install().clone(), self.superuser_password().to_owned())?;
        let mut command = standby.command("pg_basebackup")?;
        command
            .args(["-h", self.host(), "-p", &self.port().to_string(), "-U", Self::SUPERUSER, "--no-password"])
            .args(["--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-sync"])
            .arg("-D")
            .arg(standby.data_dir())
            .env("PGPASSWORD", self.superuser_password());
        let program = self.install().program("pg_basebackup");
        let output = command.output().map_err(SandboxError::io("run", &program))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(SandboxError::Program { program: "pg_basebackup".to_owned(), said });
        }
        standby.configure(&configuration_lines(settings.iter().copied()))?;
        standby.launch_on_free_port()?;
        Ok(standby)
    }
}
