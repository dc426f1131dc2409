//! What a native plugin did that a component delegated to: its DEL takes it back.

use std::{env, ffi::OsString, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use wasm_cni_spec::{attachment::Owner, command::Command, names::check_plugin_type};
use wasm_cni_state::deadline::Cancel;

use super::{
    effect::{Cleanup, Effect, Undone},
    scene::{Scene, Shared},
};
use crate::{
    exec::{self, ExecCall},
    needs::{Needs, Processes},
    trace::Watched,
};

/// Time for its DEL.
const TIME: Duration = Duration::from_secs(10);

/// A DEL of an executable. Which file that is, and in which environment it runs, is not for a record to say: the operator's
/// directories are searched anew.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Delegated {
    /// The plugin's type.
    pub kind: String,
    /// CNI_ARGS.
    pub args: String,
    /// Its configuration.
    pub stdin: Vec<u8>,
}

impl Delegated {
    fn call(&self, scene: &Scene) -> Result<ExecCall, String> {
        check_plugin_type(&self.kind).map_err(|e| e.to_string())?;
        let (context, Owner { container_id, ifname, .. }) = (&scene.context, &scene.owner);
        let directories: Vec<_> = env::split_paths(&context.plugin_path).collect();
        let path = context.exec.find(&self.kind, &directories);
        let path = path.ok_or_else(|| format!("plugin {:?} is not in any directory of CNI_PATH", self.kind))?;
        let ours: [(_, OsString); 6] = [
            ("CNI_COMMAND", Command::Del.name().into()),
            ("CNI_CONTAINERID", container_id.into()),
            ("CNI_NETNS", scene.netns.clone().into()),
            ("CNI_ARGS", self.args.clone().into()),
            ("CNI_IFNAME", ifname.into()),
            ("CNI_PATH", context.plugin_path.clone()),
        ];
        let (kind, stdin) = (self.kind.clone(), self.stdin.clone());
        let env = exec::environment(&context.env, ours);
        Ok(ExecCall { kind, path, env, stdin, timeout: TIME, cancel: Cancel::default() })
    }
}

impl Effect for Delegated {
    const TAG: &'static str = "delegated";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        false
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        None
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::DetachAfterFailure
    }

    fn needs(&self, needs: &mut Needs) {
        needs.process(Processes::Native);
    }

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        let call = self.call(scene)?;
        let exec = Watched { exec: &*scene.context.exec, trace: &scene.context.trace, who: scene.who(&call.kind) };
        let run = || exec::run(&exec, &call).map(drop).map_err(|e| e.to_string());
        scene.host.netns.run(run).map_err(|e| e.to_string())??;
        Ok(Undone::All)
    }
}

impl fmt::Display for Delegated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what plugin {:?} did", self.kind)
    }
}
