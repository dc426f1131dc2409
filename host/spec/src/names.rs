//! Which texts may be the name of what: networks, containers, interfaces, plugins. All of them become parts of paths.

use crate::error::{CniError, ErrorKind, code};

/// Whether a text is what the specification calls an alphanumeric name.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// That a text can be the name of a network.
///
/// # Errors
///
/// Code 7 in the reference's words.
pub fn check_network_name(name: &str) -> Result<(), CniError> {
    if name.is_empty() {
        return Err(CniError::new(code::CONFIG, "missing network name"));
    }
    if !is_name(name) {
        return Err(CniError::new(code::CONFIG, "invalid characters found in network name").details(name));
    }
    Ok(())
}

/// That a text can be a container id.
///
/// # Errors
///
/// Code 3 or 4 in the reference's words.
pub fn check_container_id(id: &str) -> Result<(), CniError> {
    if id.is_empty() {
        return Err(CniError::new(code::CONTAINER, "missing containerID"));
    }
    if !is_name(id) {
        return Err(CniError::new(code::ENVIRONMENT, "invalid characters in containerID").details(id));
    }
    Ok(())
}

/// That a text can be the name of an interface.
///
/// # Errors
///
/// Code 4 in the reference's words.
pub fn check_ifname(name: &str) -> Result<(), CniError> {
    let error = |text: &str| Err(CniError::new(code::ENVIRONMENT, text));
    if name.is_empty() {
        return error("interface name is empty");
    }
    if name.len() > 15 {
        let error = CniError::new(code::ENVIRONMENT, "interface name is too long");
        return Err(error.details("interface name should be less than 16 characters"));
    }
    if name == "." || name == ".." {
        return error("interface name is . or ..");
    }
    if name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
        return error("interface name contains / or : or whitespace characters");
    }
    Ok(())
}

/// That a plugin type is a file name, not a path.
///
/// # Errors
///
/// The reference's texts.
pub fn check_plugin_type(kind: &str) -> Result<(), CniError> {
    if kind.is_empty() {
        return Err(CniError::internal("no plugin name provided").of_kind(ErrorKind::Config));
    }
    if kind.contains('/') || kind == "." || kind == ".." || kind.contains('\0') {
        return Err(CniError::internal(format!("invalid plugin name: {kind}")).of_kind(ErrorKind::Config));
    }
    Ok(())
}
