//! A component of several plugins: the host says which of them is called. What plugins of one kind have in common, the SDK
//! and the standard library, is there once. Only the macros are for plugins to use; the rest is public because they expand
//! elsewhere.

use std::marker::PhantomData;

use crate::bindings::interface::exports::wasm_cni::plugin::plugin;
use crate::bindings::interface::wasm_cni::cni::identity;
use crate::bindings::ipam::exports::wasm_cni::plugin::ipam;
use crate::export::report_panics;
use crate::{Attachment, Call, Failure, InterfacePlugin, IpamPlugin, Mistake, Netns, Output};

/// Makes a component of several plugins, which is installed under the name of each. The host says by its type which of
/// them is called, and grants each what its own table of the policy says.
///
/// ```
/// # use cni_plugin::{Call, Failure, InterfacePlugin, Mistake, Netns, Output};
/// # struct Uplink;
/// # struct Overlay;
/// # macro_rules! implement { ($($name:ident)+) => { $(impl InterfacePlugin for $name {
/// #     fn add(_: &Call, _: &Netns, _: Option<&Netns>) -> Result<Output, Failure> { Ok(Output::default()) }
/// #     fn del(_: &Call, _: Option<&Netns>, _: Option<&Netns>) -> Result<(), Failure> { Ok(()) }
/// #     fn check(_: &Call, _: &Netns, _: Option<&Netns>) -> Result<(), Failure> { Ok(()) }
/// #     fn validate(_: &str) -> Vec<Mistake> { Vec::new() }
/// # })+ } }
/// # implement!(Uplink Overlay);
/// cni_plugin::export_interface_plugins! {
///     "uplink" => Uplink,
///     "overlay" => Overlay,
/// }
/// ```
#[macro_export]
macro_rules! export_interface_plugins {
    ($($kind:literal => $plugin:path),+ $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Table;
            impl $crate::several::Table<$crate::several::InterfaceFunctions> for Table {
                const PLUGINS: &'static [(&'static str, $crate::several::InterfaceFunctions)] =
                    &[$(($kind, $crate::several::InterfaceFunctions::of::<$plugin>())),+];
            }
            type Exported = $crate::several::Interfaces<Table>;
            $crate::bindings::interface::export_interface_world!(
                Exported with_types_in $crate::bindings::interface
            );
        };
    };
}

/// The same for plugins that implement [`IpamPlugin`].
#[macro_export]
macro_rules! export_ipam_plugins {
    ($($kind:literal => $plugin:path),+ $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Table;
            impl $crate::several::Table<$crate::several::IpamFunctions> for Table {
                const PLUGINS: &'static [(&'static str, $crate::several::IpamFunctions)] =
                    &[$(($kind, $crate::several::IpamFunctions::of::<$plugin>())),+];
            }
            type Exported = $crate::several::Ipams<Table>;
            $crate::bindings::ipam::export_ipam_world!(
                Exported with_types_in $crate::bindings::ipam
            );
        };
    };
}

type Done = Result<(), Failure>;

/// The functions of one of several plugins.
#[derive(Debug)]
pub struct InterfaceFunctions {
    add: fn(&Call, &Netns, Option<&Netns>) -> Result<Output, Failure>,
    del: fn(&Call, Option<&Netns>, Option<&Netns>) -> Done,
    check: fn(&Call, &Netns, Option<&Netns>) -> Done,
    status: fn(&str, Option<&Netns>) -> Done,
    gc: fn(&str, &[Attachment], Option<&Netns>) -> Done,
    validate: fn(&str) -> Vec<Mistake>,
}

impl InterfaceFunctions {
    #[must_use]
    pub const fn of<P: InterfacePlugin>() -> Self {
        Self { add: P::add, del: P::del, check: P::check, status: P::status, gc: P::gc, validate: P::validate }
    }
}

#[derive(Debug)]
pub struct Interfaces<T>(PhantomData<T>);

impl<T: Table<InterfaceFunctions>> plugin::Guest for Interfaces<T> {
    fn add(call: Call, sandbox: &Netns, host: Option<&Netns>) -> Result<Output, Failure> {
        (called::<T, _>()?.add)(&call, sandbox, host)
    }

    fn del(call: Call, sandbox: Option<&Netns>, host: Option<&Netns>) -> Result<(), Failure> {
        (called::<T, _>()?.del)(&call, sandbox, host)
    }

    fn check(call: Call, sandbox: &Netns, host: Option<&Netns>) -> Result<(), Failure> {
        (called::<T, _>()?.check)(&call, sandbox, host)
    }

    fn status(config: String, host: Option<&Netns>) -> Result<(), Failure> {
        (called::<T, _>()?.status)(&config, host)
    }

    fn gc(config: String, live: Vec<Attachment>, host: Option<&Netns>) -> Result<(), Failure> {
        (called::<T, _>()?.gc)(&config, &live, host)
    }

    fn validate(config: String) -> Vec<Mistake> {
        match called::<T, _>() {
            Ok(functions) => (functions.validate)(&config),
            Err(failure) => vec![failure.into()],
        }
    }
}

/// The same of an IPAM plugin.
#[derive(Debug)]
pub struct IpamFunctions {
    add: fn(&Call) -> Result<Output, Failure>,
    del: fn(&Call) -> Result<(), Failure>,
    check: fn(&Call) -> Result<(), Failure>,
    status: fn(&str) -> Result<(), Failure>,
    gc: fn(&str, &[Attachment]) -> Result<(), Failure>,
    validate: fn(&str) -> Vec<Mistake>,
}

impl IpamFunctions {
    #[must_use]
    pub const fn of<P: IpamPlugin>() -> Self {
        Self { add: P::add, del: P::del, check: P::check, status: P::status, gc: P::gc, validate: P::validate }
    }
}

#[derive(Debug)]
pub struct Ipams<T>(PhantomData<T>);

impl<T: Table<IpamFunctions>> ipam::Guest for Ipams<T> {
    fn add(call: Call) -> Result<Output, Failure> {
        (called::<T, _>()?.add)(&call)
    }

    fn del(call: Call) -> Result<(), Failure> {
        (called::<T, _>()?.del)(&call)
    }

    fn check(call: Call) -> Result<(), Failure> {
        (called::<T, _>()?.check)(&call)
    }

    fn status(config: String) -> Result<(), Failure> {
        (called::<T, _>()?.status)(&config)
    }

    fn gc(config: String, live: Vec<Attachment>) -> Result<(), Failure> {
        (called::<T, _>()?.gc)(&config, &live)
    }

    fn validate(config: String) -> Vec<Mistake> {
        match called::<T, _>() {
            Ok(functions) => (functions.validate)(&config),
            Err(failure) => vec![failure.into()],
        }
    }
}

/// The plugins of a component, by their types.
pub trait Table<F: 'static> {
    const PLUGINS: &'static [(&'static str, F)];
}

/// The plugin that is called.
fn called<T: Table<F>, F>() -> Result<&'static F, Failure> {
    report_panics();
    let called = identity::type_name();
    match T::PLUGINS.iter().find(|(kind, _)| *kind == called) {
        Some((_, functions)) => Ok(functions),
        None => {
            let kinds: Vec<_> = T::PLUGINS.iter().map(|(kind, _)| *kind).collect();
            Err(unknown(&called, &kinds))
        }
    }
}

fn unknown(called: &str, kinds: &[&str]) -> Failure {
    let all = kinds.join(", ");
    Failure::plain(format!("the component has no plugin {called:?}, only {all}: install it under one of these names"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_installed_it_under_another_name_is_told_which() {
        let failure = unknown("bridge2", &["bridge", "ptp"]);
        assert!(
            failure.msg.starts_with("the component has no plugin \"bridge2\", only bridge, ptp: "),
            "{}",
            failure.msg
        );
    }
}
