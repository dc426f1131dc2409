//! WASI 0.2 for third-party components, whose standard library asks for it: a
//! stub. It has no files, environment, arguments or sockets, and nothing on
//! standard input; what is printed goes to the log.
//!
//! Components import other parts and patch versions of it, so it is made for each
//! of them from what it imports, and without types of its own. Others are linked
//! without it.

mod answers;

use serde_json::json;
use wasmtime::{
    StoreContextMut,
    component::{Component, Linker, Resource, ResourceType, Val, types::ComponentFunc, types::ComponentItem},
};

use self::answers::{Answer, Call, Handle};
use wasm_cni_capabilities::{state::State, text::cut, trace::Begun};

/// The name of a WASI 0.2 interface without package and version: `wasi:cli/stdout@0.2.6`
/// as `cli/stdout`. `None` for what is not of WASI 0.2.
pub fn interface(name: &str) -> Option<&str> {
    let (interface, version) = name.strip_prefix("wasi:")?.split_once('@')?;
    version.starts_with("0.2.").then_some(interface)
}

/// Links what a component imports of WASI and the stub has.
///
/// # Errors
///
/// Those of wasmtime.
pub fn link(linker: &mut Linker<State>, component: &Component) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    for (name, import) in component.component_type().imports(&engine) {
        let (Some(interface), ComponentItem::ComponentInstance(ty)) = (interface(name), &import.ty) else { continue };
        let functions: Vec<_> = ty
            .exports(&engine)
            .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
            .map(|(function, _)| (function, Answer::of(interface, function)))
            .collect();
        // What is not WASI but by its name is not offered as a whole.
        if !functions.iter().all(|(_, answer)| answer.is_some()) {
            continue;
        }
        let mut instance = linker.instance(name)?;
        for (resource, item) in ty.exports(&engine) {
            if let ComponentItem::Resource(_) = item.ty {
                instance.resource(resource, ResourceType::host::<Handle>(), dropped)?;
            }
        }
        for (function, answer) in functions {
            let Some(answer) = answer else { continue };
            let name = format!("wasi:{interface}.{}", function.rsplit(']').next().unwrap_or(function));
            let call = move |store: StoreContextMut<'_, State>, ty, params: &[Val], results: &mut [Val]| {
                traced(store, &name, answer, &ty, params, results)
            };
            instance.func_new(function, call)?;
        }
    }
    Ok(())
}

fn dropped(mut store: StoreContextMut<'_, State>, rep: u32) -> wasmtime::Result<()> {
    store.data_mut().table.delete(Resource::<Handle>::new_own(rep))?;
    Ok(())
}

/// The one place where a call of WASI passes by, as [`State::call`] is for the
/// others.
fn traced(
    mut store: StoreContextMut<'_, State>,
    name: &str,
    answer: Answer,
    ty: &ComponentFunc,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let begun = store.data().attempt.context.trace.is_on().then(Begun::now);
    let reply = store.data_mut().enter().and_then(|()| {
        let handles = handles(&mut store, params)?;
        answer.give(Call { store: &mut store, name, ty, params, handles })
    });
    if let Some(begun) = begun {
        let outcome = match &reply {
            Ok(_) => Ok(json!("ok")),
            Err(trap) => Err(json!({ "trap": cut(&trap.to_string()) })),
        };
        let state = store.data();
        state.attempt.context.trace.called(state.who(), begun, name, json!({}), outcome);
    }
    if let (Some(value), Some(result)) = (reply?, results.first_mut()) {
        *result = value;
    }
    Ok(())
}

/// What stands behind the handles among these, also in a list: all that are lent
/// have to be given back, whatever becomes of the call.
fn handles(store: &mut StoreContextMut<'_, State>, params: &[Val]) -> wasmtime::Result<Vec<Handle>> {
    let mut handles = Vec::new();
    for param in params {
        let several = if let Val::List(list) = param { list } else { std::slice::from_ref(param) };
        for value in several {
            let Val::Resource(resource) = value else { break };
            let resource = resource.try_into_resource::<Handle>(&mut *store)?;
            handles.push(*store.data().table.get(&resource)?);
        }
    }
    Ok(handles)
}
