//! nginx as a process.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use super::front::Front;
use super::support::scratch_file;

/// nginx with a configuration of the test's. Dropping it ends it, workers and all.
pub struct Nginx {
    folder: PathBuf,
    front: Front,
    generation: u32,
}

impl Nginx {
    /// Starts it with this inside of `http`: `{listen}` is where it listens, `{folder}` a folder of its own.
    pub fn start(http: &str) -> Self {
        let folder = scratch_file("nginx");
        fs::create_dir_all(&folder).expect("the build folder is writable");
        let mut nginx = Self { folder, front: Front::new("nginx", "nginx-light"), generation: 0 };
        nginx.write(http);
        nginx.up();
        nginx
    }

    /// The MCP endpoint behind it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.front.port.number())
    }

    /// Reads another configuration without a pause (`nginx -s reload`): new connections get the new one, what runs on the
    /// old one goes on.
    pub fn reload(&mut self, http: &str) {
        self.write(http);
        self.front.signal(Signal::HUP);
        self.front.wait_for_log("start worker process ", self.generation);
        // The old worker has closed what is idle, and takes nothing new.
        self.front.wait_for_log("gracefully shutting down", self.generation - 1);
    }

    /// Ends it with all connections (`nginx -s stop`).
    pub fn stop(&mut self) {
        self.front.stop(Signal::TERM);
    }

    /// Starts it again.
    pub fn up(&mut self) {
        let config = self.folder.join("nginx.conf");
        self.front.start(|command| {
            command.arg("-p").arg(&self.folder).arg("-c").arg(config).args(["-e", "stderr"]);
        });
        self.generation = 1;
        // Before that a reload would end it.
        self.front.wait_for_log("start worker process ", 1);
    }

    fn write(&mut self, http: &str) {
        self.generation += 1;
        let folder = self.folder.to_str().expect("a plain path");
        let http =
            http.replace("{listen}", &format!("127.0.0.1:{}", self.front.port.number())).replace("{folder}", folder);
        // As the user who runs the test, so that files in the build folder can be read.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let config = format!(
            "{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr notice;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{http}
}}
"
        );
        fs::write(self.folder.join("nginx.conf"), config).expect("the build folder is writable");
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Before its files.
        self.front.stop(Signal::TERM);
        let _ = fs::remove_dir_all(&self.folder);
    }
}
