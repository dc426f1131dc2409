//! Reading a stored footprint: the effects are those of the attachment's record, and nothing that the text says.

use wasm_cni_capabilities::{
    footprint::{Footprint, Stored},
    record::{self, attached::attached, format::VERSION, journal::Journal},
};
use wasm_cni_spec::{
    attachment::Owner,
    error::{CniError, ErrorKind, code},
    names::{check_container_id, check_ifname, check_network_name},
};

use crate::runtime::Runtime;

impl Runtime {
    /// The footprint that [`Footprint::to_json`] named, for a runtime whose create and delete are different processes. Read
    /// it before [`Runtime::del`], which removes the attachment's record, and pass it to [`Runtime::tidy`] afterwards. A
    /// provisional ADD has no record.
    ///
    /// # Errors
    ///
    /// If the text is not a footprint of this host and this boot; if the attachment has been detached.
    pub fn footprint_from_json(&self, json: &str) -> Result<Footprint, CniError> {
        let invalid = |text: String| CniError::new(code::DECODE, format!("invalid footprint: {text}"));
        let Stored { version, owner, host: of } = serde_json::from_str(json).map_err(|e| invalid(e.to_string()))?;
        if version != VERSION {
            return Err(invalid(format!("version {version} instead of {VERSION}")));
        }
        let host = self.host_space()?;
        let here = host.netns.id().map_err(|e| CniError::internal(e.to_string()))?;
        if of != Some(here) {
            return Err(invalid("it is of another host's namespace, or of an earlier boot".to_owned()));
        }
        // They become a path.
        check_network_name(&owner.network)?;
        check_container_id(&owner.container_id)?;
        check_ifname(&owner.ifname)?;
        let context = &self.host.context;
        let name = format!("{}{}", record::prefix(None), record::name(&owner));
        let directory = record::attachments(context, &host.netns).map_err(|e| CniError::internal(e.to_string()))?;
        let record = attached(&directory.join(name));
        let record = record.filter(|record| record.heading.owner() == owner && record.heading.host == here);
        let record = record.ok_or_else(|| {
            let Owner { network, container_id, ifname } = owner;
            let text = format!("there is no record of {container_id} {ifname} on network {network:?}: it was detached");
            CniError::internal(text).of_kind(ErrorKind::Io)
        })?;
        let scene = record.scene(context, &host);
        Ok(Footprint::new(record.entries, scene, Journal::default()))
    }
}
