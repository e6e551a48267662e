//! Which settings a host takes over from its file while it serves.

use super::Settings;

/// What became of settings that were read again.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// The settings that are in force from now on.
    pub settings: Settings,
    /// Names of those that have changed.
    pub changed: Vec<String>,
    /// Names of those that differ in the file and stay as they were: rooms are built with them, so they take a
    /// restart.
    pub unchanged: Vec<String>,
}

/// The names of fields in which two settings differ. Names every field, so that none is forgotten.
macro_rules! differing {
    ($one:expr, $other:expr, [$($field:ident),* $(,)?]) => {{
        let Settings { $($field: _),* } = $one;
        let fields = [$((stringify!($field), $one.$field != $other.$field)),*];
        fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.replace('_', "-")).collect()
    }};
}

impl Settings {
    /// Takes over of `read` what can change while the host serves.
    pub fn reload(&self, read: &Self) -> Reloaded {
        let settings = Self {
            log: read.log.clone(),
            heartbeat: read.heartbeat,
            cors_origins: read.cors_origins.clone(),
            allowed_hosts: read.allowed_hosts.clone(),
            uploads: read.uploads,
            ..self.clone()
        };
        let (changed, unchanged) = (settings.differing(self), settings.differing(read));
        Reloaded { settings, changed, unchanged }
    }

    fn differing(&self, other: &Self) -> Vec<String> {
        differing!(
            self,
            other,
            [
                listen,
                tasks,
                data,
                durability,
                open,
                max_running,
                max_running_per_task,
                max_queued,
                guest_threads,
                memory,
                deadline,
                cpu,
                max_events,
                max_events_size,
                max_event_rate,
                max_event_bytes_rate,
                max_event,
                max_input,
                max_output,
                max_log,
                compile_memory,
                compile_time,
                compile_code,
                retention_age,
                retention_runs,
                retention_events_age,
                retention_delay,
                grants,
                max_files,
                cancel_grace,
                drain_grace,
                heartbeat,
                cors_origins,
                allowed_hosts,
                uploads,
                experimental_async,
                log_format,
                log,
            ]
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_rooms_are_built_with_stays_and_is_named() {
        let before = settings("log = \"info\"\nmax-running = 5\nmemory = \"1MiB\"\n");
        let read =
            settings("log = \"debug\"\nmax-running = 6\nmemory = \"1MiB\"\nallowed-hosts = [\"a.lan\"]\n");
        let Reloaded { settings, changed, unchanged } = before.reload(&read);
        assert_eq!(changed, ["allowed-hosts", "log"]);
        assert_eq!(unchanged, ["max-running"]);
        assert_eq!((settings.max_running, settings.log.as_deref()), (Some(5), Some("debug")));
        // A setting that is gone from the file is the default again.
        assert_eq!(settings.reload(&before).changed, ["allowed-hosts", "log"]);
        assert!(settings.reload(&settings.clone()).changed.is_empty());
    }
}
