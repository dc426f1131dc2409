//! Between the generated exports and the traits. Only the macros below are
//! for plugins to use; the rest is public because the macros expand elsewhere.

use std::marker::PhantomData;

use crate::bindings::interface::exports::wasm_cni::plugin::plugin;
use crate::bindings::ipam::exports::wasm_cni::plugin::ipam;
use crate::{Attachment, Call, Failure, InterfacePlugin, IpamPlugin, Mistake, Netns, Output};

/// Makes a type that implements [`InterfacePlugin`] the plugin of this crate.
/// Does nothing but for wasm32, so that the crate's tests build natively.
#[macro_export]
macro_rules! export_interface_plugin {
    ($plugin:ident) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::export::Interface<$plugin>;
            $crate::bindings::interface::export_interface_world!(
                Exported with_types_in $crate::bindings::interface
            );
        };
    };
}

/// Makes a type that implements [`IpamPlugin`] the plugin of this crate.
/// Does nothing but for wasm32, so that the crate's tests build natively.
#[macro_export]
macro_rules! export_ipam_plugin {
    ($plugin:ident) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::export::Ipam<$plugin>;
            $crate::bindings::ipam::export_ipam_world!(
                Exported with_types_in $crate::bindings::ipam
            );
        };
    };
}

#[derive(Debug)]
pub struct Interface<P>(PhantomData<P>);

impl<P: InterfacePlugin> plugin::Guest for Interface<P> {
    fn add(call: Call, sandbox: &Netns, host: Option<&Netns>) -> Result<Output, Failure> {
        report_panics();
        P::add(&call, sandbox, host)
    }

    fn del(call: Call, sandbox: Option<&Netns>, host: Option<&Netns>) -> Result<(), Failure> {
        report_panics();
        P::del(&call, sandbox, host)
    }

    fn check(call: Call, sandbox: &Netns, host: Option<&Netns>) -> Result<(), Failure> {
        report_panics();
        P::check(&call, sandbox, host)
    }

    fn status(config: String, host: Option<&Netns>) -> Result<(), Failure> {
        report_panics();
        P::status(&config, host)
    }

    fn gc(config: String, live: Vec<Attachment>, host: Option<&Netns>) -> Result<(), Failure> {
        report_panics();
        P::gc(&config, &live, host)
    }

    fn validate(config: String) -> Vec<Mistake> {
        report_panics();
        P::validate(&config)
    }
}

#[derive(Debug)]
pub struct Ipam<P>(PhantomData<P>);

impl<P: IpamPlugin> ipam::Guest for Ipam<P> {
    fn add(call: Call) -> Result<Output, Failure> {
        report_panics();
        P::add(&call)
    }

    fn del(call: Call) -> Result<(), Failure> {
        report_panics();
        P::del(&call)
    }

    fn check(call: Call) -> Result<(), Failure> {
        report_panics();
        P::check(&call)
    }

    fn status(config: String) -> Result<(), Failure> {
        report_panics();
        P::status(&config)
    }

    fn gc(config: String, live: Vec<Attachment>) -> Result<(), Failure> {
        report_panics();
        P::gc(&config, &live)
    }

    fn validate(config: String) -> Vec<Mistake> {
        report_panics();
        P::validate(&config)
    }
}

/// A guest has no standard error: without this a panic is a trap without a word.
pub(crate) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let said = panic.payload_as_str().unwrap_or("panicked");
        match panic.location() {
            Some(at) => crate::log::error(&format!("panic at {at}: {said}")),
            None => crate::log::error(&format!("panic: {said}")),
        }
    }));
}
