//! The settings that can change while a host runs.

use super::Settings;

/// The result of a reload.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// The settings in effect.
    pub settings: Settings,
    /// Names of the settings that changed.
    pub changed: Vec<String>,
    /// Names of the settings that differ in the file but need a restart.
    pub pending: Vec<String>,
}

impl Settings {
    /// Applies the settings of `read` that can change while the host runs.
    pub fn reload(&self, read: &Self) -> Reloaded {
        let settings = self.reloaded(read);
        let (changed, pending) = (settings.differing(self), settings.differing(read));
        Reloaded { settings, changed, pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn settings_that_need_a_restart_stay_and_are_reported() {
        let before = settings("log = \"info\"\nmax-running = 5\nmemory = \"1MiB\"\n");
        let read =
            settings("log = \"debug\"\nmax-running = 6\nmemory = \"1MiB\"\nallowed-hosts = [\"a.lan\"]\n");
        let Reloaded { settings, changed, pending } = before.reload(&read);
        assert_eq!(changed, ["allowed-hosts", "log"]);
        assert_eq!(pending, ["max-running"]);
        assert_eq!((settings.max_running, settings.log.as_deref()), (Some(5), Some("debug")));
        // A setting that is removed from the file returns to its default.
        assert_eq!(settings.reload(&before).changed, ["allowed-hosts", "log"]);
        assert!(settings.reload(&settings.clone()).changed.is_empty());
    }
}
