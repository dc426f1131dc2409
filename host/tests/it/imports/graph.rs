//! The graph of imports between a crate's modules, and its circles. Must not know: cargo.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{paths, source::Module};

/// The modules of a crate, and their imports.
pub(crate) struct Graph {
    /// The imports of each module, with the first path that names each of them.
    edges: BTreeMap<usize, BTreeMap<usize, String>>,
    names: Vec<String>,
}

impl Graph {
    /// A file is one node: its inline modules count as part of it.
    pub(crate) fn new(modules: &[Module]) -> Self {
        let mut edges: BTreeMap<usize, BTreeMap<usize, String>> = BTreeMap::new();
        for (index, module) in modules.iter().enumerate() {
            for path in &module.paths {
                let Some(target) = paths::resolve(modules, index, path) else { continue };
                let (from, to) = (module.node, modules[target].node);
                if from != to {
                    edges.entry(from).or_default().entry(to).or_insert_with(|| path.join("::"));
                }
            }
        }
        Self { edges, names: modules.iter().map(Module::name).collect() }
    }

    fn imports(&self, module: usize) -> impl Iterator<Item = usize> {
        self.edges.get(&module).into_iter().flat_map(|edges| edges.keys().copied())
    }

    /// The shortest circle through a module, which is its first and last node.
    fn circle(&self, module: usize) -> Option<Vec<usize>> {
        let mut came_from = BTreeMap::new();
        let mut queue = VecDeque::from([module]);
        while let Some(at) = queue.pop_front() {
            for next in self.imports(at) {
                if next == module {
                    let mut way = vec![module, at];
                    while way.last() != Some(&module) {
                        way.push(came_from[way.last().unwrap()]);
                    }
                    way.reverse();
                    return Some(way);
                }
                if let std::collections::btree_map::Entry::Vacant(entry) = came_from.entry(next) {
                    entry.insert(at);
                    queue.push_back(next);
                }
            }
        }
        None
    }

    fn reachable(&self, module: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut open = vec![module];
        while let Some(at) = open.pop() {
            open.extend(self.imports(at).filter(|next| reached.insert(*next)));
        }
        reached
    }

    /// A text for each strongly connected component of more than one module: its
    /// members, and its shortest circle with the path behind each step.
    pub(crate) fn circles(&self) -> Vec<String> {
        let reachable: BTreeMap<usize, BTreeSet<usize>> =
            self.edges.keys().map(|module| (*module, self.reachable(*module))).collect();
        let reaches = |from: usize, to: usize| reachable.get(&from).is_some_and(|all| all.contains(&to));
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for module in self.edges.keys().copied().filter(|module| reaches(*module, *module)) {
            let members: Vec<_> =
                self.edges.keys().copied().filter(|m| reaches(module, *m) && reaches(*m, module)).collect();
            if !seen.insert(members.clone()) {
                continue;
            }
            let shortest = members.iter().filter_map(|m| self.circle(*m)).min_by_key(Vec::len).unwrap();
            let names: Vec<_> = members.iter().map(|m| self.names[*m].as_str()).collect();
            let steps: Vec<_> = shortest.windows(2).map(|pair| self.step(pair[0], pair[1])).collect();
            found.push(format!("{} modules: {}\n  {}", names.len(), names.join(", "), steps.join("\n  ")));
        }
        found
    }

    fn step(&self, from: usize, to: usize) -> String {
        format!("{} -> {} (`{}`)", self.names[from], self.names[to], self.edges[&from][&to])
    }

    /// The edges by name, for tests.
    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        let name = |module: usize| self.names[module].as_str();
        self.edges.iter().flat_map(|(from, to)| to.keys().map(move |to| (name(*from), name(*to)))).collect()
    }
}
