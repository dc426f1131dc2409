//! What a native plugin did that a component delegated to: its DEL takes it back.

use std::{ffi::OsString, fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use wasm_cni_state::deadline::Cancel;

use super::{
    effect::{Cleanup, Effect},
    scene::{Scene, Shared},
};
use crate::{
    exec::{self, ExecCall},
    needs::{Needs, Processes},
    trace::Watched,
};

/// Time for its DEL.
const TIME: Duration = Duration::from_secs(10);

/// A DEL of an executable.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Delegated {
    kind: String,
    path: PathBuf,
    env: Vec<(OsString, OsString)>,
    stdin: Vec<u8>,
}

impl From<ExecCall> for Delegated {
    fn from(call: ExecCall) -> Self {
        let ExecCall { kind, path, env, stdin, .. } = call;
        Self { kind, path, env, stdin }
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

    fn take_back(&self, scene: &Scene) -> Result<(), String> {
        let Self { kind, path, env, stdin } = self.clone();
        let call = ExecCall { kind, path, env, stdin, timeout: TIME, cancel: Cancel::default() };
        let exec = Watched { exec: &*scene.context.exec, trace: &scene.context.trace, who: scene.who(&call.kind) };
        let run = || exec::run(&exec, &call).map(drop).map_err(|e| e.to_string());
        scene.host.netns.run(run).map_err(|e| e.to_string())?
    }
}

impl fmt::Display for Delegated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what plugin {:?} did", self.kind)
    }
}
