//! What follows from the table of settings in `settings.rs`.

use clap::Arg;

use super::value::Value;

/// Prefix of the environment variable of each setting.
const PREFIX: &str = "STREAMTASK_";

/// A setting, as the command line and the documentation describe it.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The flag's id in matches of the command line.
    pub id: &'static str,
    /// Key in the file.
    pub key: String,
    /// Flag, without its dashes.
    pub flag: String,
    /// Environment variable.
    pub variable: String,
    /// Its meaning, in a line.
    pub help: &'static str,
    /// The default as a text, if there is more to say than that it is not set.
    pub default: Option<String>,
    /// Whether a reload applies a change while the host runs.
    pub reload: bool,
    /// Whether the flag can be repeated.
    pub is_list: bool,
    /// Whether its value may have a secret in it.
    pub is_secret: bool,
    value: &'static str,
    parsed: fn(Arg) -> Arg,
}

impl Setting {
    pub(super) fn new<T: Value>(field: &'static str, help: &'static str) -> Self {
        let key = field.replace('_', "-");
        Self {
            id: field,
            flag: key.clone(),
            key,
            variable: format!("{PREFIX}{}", field.to_uppercase()),
            help: help.trim(),
            default: None,
            reload: false,
            is_list: T::IS_LIST,
            is_secret: T::IS_SECRET,
            value: T::NAME,
            parsed: T::parsed,
        }
    }

    pub(super) fn flag(self, flag: &str) -> Self {
        Self { flag: flag.to_owned(), ..self }
    }

    pub(super) fn value(self, value: &'static str) -> Self {
        Self { value, ..self }
    }

    pub(super) fn default<T: Value>(self, default: &T) -> Self {
        self.shown(&default.text())
    }

    pub(super) fn shown(self, default: &str) -> Self {
        Self { default: Some(default.to_owned()).filter(|text| !text.is_empty()), ..self }
    }

    pub(super) fn reload(self, reload: bool) -> Self {
        Self { reload, ..self }
    }

    /// The default in words.
    pub fn default_text(&self) -> &str {
        self.default.as_deref().unwrap_or("not set")
    }

    /// The flag.
    pub(super) fn argument(&'static self) -> Arg {
        let help = match &self.default {
            Some(default) => format!("{} [default: {default}]", self.help),
            None => self.help.to_owned(),
        };
        let flag = Arg::new(self.id).long(self.flag.as_str()).env(self.variable.as_str());
        let flag = flag.hide_env_values(self.is_secret);
        (self.parsed)(flag.value_name(self.value).help(help))
    }

    /// Its row in `docs/settings.md`.
    #[cfg(test)]
    pub(super) fn row(&self) -> String {
        let Self { flag, value, key, variable, help, .. } = self;
        let default = self.default_text();
        let reload = if self.reload { "yes" } else { "no" };
        format!("| `--{flag} {value}` | `{key}` | `{variable}` | {default} | {reload} | {help} |")
    }
}

/// Defines `Settings` from the table. `settings.rs` explains the entries.
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident;
        $(
            $(#[doc = $help:literal])+
            $field:ident: $type:ty {
                $(flag: $flag:literal,)?
                $(value: $value:literal,)?
                $(default: $default:expr,)?
                $(shown: $shown:literal,)?
                $(check: $check:expr,)*
                $(reload: $reload:literal,)?
                $(config: $config:ident,)?
                $(limits: $limit:ident,)?
                $(compile_limits: $compile_limit:ident,)?
                $(retention: $retention:ident,)?
            }
        )*
    ) => {
        $(#[$attribute])*
        pub struct $name {
            $($(#[doc = $help])+ pub $field: Option<$type>,)*
        }

        impl $name {
            /// All settings, in the order of the help.
            pub fn table() -> &'static [Setting] {
                static TABLE: std::sync::LazyLock<Vec<Setting>> = std::sync::LazyLock::new(|| vec![$(
                    Setting::new::<$type>(stringify!($field), concat!($($help),+))
                        $(.flag($flag))?
                        $(.value($value))?
                        $(.default::<$type>(&$default))?
                        $(.shown($shown))?
                        $(.reload($reload))?,
                )*]);
                &TABLE
            }

            $($(
                /// The value, or the default.
                pub fn $field(&self) -> $type {
                    self.$field.clone().unwrap_or_else(|| $default)
                }
            )?)*

            /// These settings, completed by those of `other`.
            pub fn or(self, other: Self) -> Self {
                Self { $($field: self.$field.or(other.$field),)* }
            }

            /// The settings in effect after a reload that has read `read`.
            pub(super) fn reloaded(&self, read: &Self) -> Self {
                let mut settings = self.clone();
                $($(
                    if $reload {
                        settings.$field = read.$field.clone();
                    }
                )?)*
                settings
            }

            /// The keys of the settings that differ.
            pub(super) fn differing(&self, other: &Self) -> Vec<String> {
                let differs = [$(self.$field != other.$field),*];
                let differing = Self::table().iter().zip(differs).filter(|(_, differs)| *differs);
                differing.map(|(setting, _)| setting.key.clone()).collect()
            }

            fn check(&self) -> Result<(), ConfigError> {
                $($(
                    if let Some(value) = &self.$field {
                        ($check)(value).map_err(|fault| Self::fault(stringify!($field), &fault))?;
                    }
                )*)*
                Ok(())
            }

            /// The complete configuration: these settings and the defaults.
            #[allow(unused_variables, reason = "not every setting is part of the configuration")]
            pub fn config(&self) -> Result<Config, ConfigError> {
                self.check()?;
                $(let $field = self.$field.clone()$(.unwrap_or_else(|| $default))?;)*
                Ok(Config {
                    $($($config: Self::converted(stringify!($field), $field)?,)?)*
                    limits: Limits { $($($limit: Self::converted(stringify!($field), $field)?,)?)* },
                    compile_limits: CompileLimits {
                        $($($compile_limit: Self::converted(stringify!($field), $field)?,)?)*
                    },
                    retention: Retention { $($($retention: Self::converted(stringify!($field), $field)?,)?)* },
                    only: None,
                    cache: None,
                    compiler: None,
                })
            }
        }

        impl clap::FromArgMatches for $name {
            fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self { $($field: <$type>::given(matches, stringify!($field)),)* })
            }

            fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?.or(std::mem::take(self));
                Ok(())
            }
        }
    };
}

pub(super) use settings;
