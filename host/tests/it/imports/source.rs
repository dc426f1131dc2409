//! Reads the modules of a crate from its sources, without code for tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Item, ItemMod, ItemUse, Meta, UseTree, Visibility,
    visit::{self, Visit},
};

/// A module: a file, or an inline one.
#[derive(Default)]
pub(crate) struct Module {
    /// From the root of the crate: empty for the root.
    path: Vec<String>,
    pub(crate) file: PathBuf,
    /// The module whose file this is in.
    pub(crate) node: usize,
    pub(crate) parent: Option<usize>,
    pub(crate) children: BTreeMap<String, usize>,
    /// Names of items that are defined here.
    pub(crate) items: BTreeSet<String>,
    /// Names from `use`, and their paths.
    pub(crate) aliases: BTreeMap<String, Vec<String>>,
    /// Paths of glob re-exports.
    pub(crate) globs: Vec<Vec<String>>,
    /// Paths of imports, without pure re-exports.
    pub(crate) paths: Vec<Vec<String>>,
}

impl Module {
    pub(crate) fn name(&self) -> String {
        if self.path.is_empty() { "crate".to_owned() } else { self.path.join("::") }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.items.contains(name) || self.aliases.contains_key(name) || self.children.contains_key(name)
    }
}

/// Returns a file's text; none if it does not exist.
pub(crate) type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// The modules of the crate whose root is this file.
pub(crate) fn of_crate(root: &Path) -> Vec<Module> {
    read(root, &|path| fs::read_to_string(path).ok())
}

/// The same, with another source of files.
pub(crate) fn read(root: &Path, files: Read<'_>) -> Vec<Module> {
    let mut modules = vec![Module { file: root.to_owned(), ..Module::default() }];
    let directory = root.parent().unwrap().to_owned();
    let text = files(root).unwrap_or_else(|| panic!("cannot read {}", root.display()));
    add_items(&mut modules, 0, parse(root, &text), &directory, files);
    modules
}

fn parse(path: &Path, text: &str) -> Vec<Item> {
    syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", path.display())).items
}

/// `directory` is the directory of the module's children.
fn add_items(modules: &mut Vec<Module>, at: usize, items: Vec<Item>, directory: &Path, files: Read<'_>) {
    for item in items {
        match item {
            Item::Mod(module) if !is_for_tests(&module.attrs) => add_module(modules, at, module, directory, files),
            item => Collector { module: &mut modules[at], outermost: true }.visit_item(&item),
        }
    }
}

fn add_module(modules: &mut Vec<Module>, parent: usize, module: ItemMod, directory: &Path, files: Read<'_>) {
    let name = module.ident.to_string();
    let index = modules.len();
    let path: Vec<_> = modules[parent].path.iter().cloned().chain([name.clone()]).collect();
    modules[parent].children.insert(name.clone(), index);
    let own = directory.join(&name);
    match module.content {
        Some((_, items)) => {
            let (file, node) = (modules[parent].file.clone(), modules[parent].node);
            modules.push(Module { path, file, node, parent: Some(parent), ..Module::default() });
            add_items(modules, index, items, &own, files);
        }
        None => {
            let places = match path_attribute(&module.attrs) {
                // Children of such a file are next to it.
                Some(path) => vec![(modules[parent].file.with_file_name(path), directory)],
                None => vec![(directory.join(format!("{name}.rs")), &*own), (own.join("mod.rs"), &*own)],
            };
            // A build script may write it elsewhere.
            let found = places.into_iter().find_map(|(path, own)| files(&path).map(|text| (path, own, text)));
            let Some((file, own, text)) = found else {
                modules[parent].children.remove(&name);
                return;
            };
            let items = parse(&file, &text);
            modules.push(Module { path, file, node: index, parent: Some(parent), ..Module::default() });
            add_items(modules, index, items, own, files);
        }
    }
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    let value = attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => Some(&pair.value),
        _ => None,
    })?;
    match value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

/// `#[cfg(test)]`, `#[cfg(all(test, ..))]` and `#[test]`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => {
            let text = list.tokens.to_string().replace(' ', "");
            text == "test" || text.starts_with("all(test,")
        }
        _ => false,
    })
}

/// Collects what the items of a module define and import.
struct Collector<'a> {
    module: &'a mut Module,
    /// Whether this is not inside of an item.
    outermost: bool,
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name) = described(item);
        if is_for_tests(attributes) {
            return;
        }
        if let Some(name) = name.filter(|_| self.outermost) {
            self.module.items.insert(name);
        }
        let before = self.outermost;
        self.outermost &= matches!(item, Item::Use(_));
        visit::visit_item(self, item);
        self.outermost = before;
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let reexport = !matches!(item.vis, Visibility::Inherited);
        self.add_use(&item.tree, &mut Vec::new(), reexport);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if parts.len() > 1 && is_keyword(&parts[0]) {
            self.module.paths.push(parts);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.visit_path(&called.path);
        self.add_tokens(called.tokens.clone());
    }

    /// A macro's body names items on behalf of its users.
    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        if !item.mac.path.is_ident("macro_rules") {
            visit::visit_item_macro(self, item);
        }
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

impl Collector<'_> {
    fn add_use(&mut self, tree: &UseTree, path: &mut Vec<String>, reexport: bool) {
        let length = path.len();
        match tree {
            UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                self.add_use(&inner.tree, path, reexport);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_use(tree, path, reexport)),
            UseTree::Glob(_) if reexport => self.module.globs.push(path.clone()),
            UseTree::Glob(_) => self.module.paths.push(path.clone()),
            UseTree::Name(name) => self.add_leaf(&name.ident, None, path, reexport),
            UseTree::Rename(name) => self.add_leaf(&name.ident, Some(&name.rename), path, reexport),
        }
        path.truncate(length);
    }

    fn add_leaf(&mut self, name: &syn::Ident, rename: Option<&syn::Ident>, path: &mut Vec<String>, reexport: bool) {
        // `self` at the end is the module of the path before it.
        if name != "self" || path.is_empty() {
            path.push(name.to_string());
        }
        let alias = rename.map_or_else(|| path.last().cloned().unwrap_or_default(), ToString::to_string);
        if self.outermost && path.first() != Some(&alias) {
            self.module.aliases.insert(alias, path.clone());
        }
        if !reexport {
            self.module.paths.push(path.clone());
        }
    }

    /// Adds paths in the arguments of a macro: `crate::`, `super::` or `self::` and names.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let is = |at: usize, sign: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == sign);
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                TokenTree::Ident(first) if is_keyword(&first.to_string()) && (at == 0 || !is(at - 1, '$')) => {
                    let mut path = vec![first.to_string()];
                    let mut next = at + 1;
                    while let (true, true, Some(TokenTree::Ident(name))) =
                        (is(next, ':'), is(next + 1, ':'), tokens.get(next + 2))
                    {
                        path.push(name.to_string());
                        next += 3;
                    }
                    if path.len() > 1 {
                        self.module.paths.push(path);
                    }
                }
                _ => {}
            }
        }
    }
}

fn is_keyword(part: &str) -> bool {
    ["crate", "super", "self"].contains(&part)
}

/// An item's attributes and its name.
fn described(item: &Item) -> (&[Attribute], Option<String>) {
    match item {
        Item::Const(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Enum(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Fn(item) => (&item.attrs, Some(item.sig.ident.to_string())),
        Item::Impl(item) => (&item.attrs, None),
        Item::Macro(item) => (&item.attrs, item.ident.as_ref().map(ToString::to_string)),
        Item::Mod(item) => (&item.attrs, None),
        Item::Static(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Struct(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Trait(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Type(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Union(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Use(item) => (&item.attrs, None),
        _ => (&[], None),
    }
}
