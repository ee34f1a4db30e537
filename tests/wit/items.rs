//! A package as a list of what it exports, each item in WIT's own words.

use std::collections::BTreeMap;

use wit_parser::{
    Docs, Function, FunctionKind, Handle, Interface, PackageId, Resolve, Stability, Type, TypeDef, TypeDefKind,
    TypeOwner, WorldItem,
};

/// An item that a program or a host can name.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// `record`, `func`, `use`, …
    pub kind: &'static str,
    /// What makes it up: fields, cases, parameters, in order.
    pub parts: Vec<String>,
    /// Its `@since`.
    pub since: Option<String>,
    /// Its documentation.
    pub docs: Option<String>,
    /// Parts that have no documentation, where they should have one.
    pub undocumented: Vec<String>,
}

/// All items by their names: `types`, `types/event`, `client/connection.send`, `world transport`, …
pub fn items(resolve: &Resolve, package: PackageId) -> BTreeMap<String, Item> {
    let mut items = BTreeMap::new();
    for (name, id) in &resolve.packages[package].interfaces {
        let interface = &resolve.interfaces[*id];
        items.insert(name.clone(), item("interface", Vec::new(), &interface.stability, &interface.docs));
        for (type_name, id) in &interface.types {
            items.insert(format!("{name}/{type_name}"), type_item(resolve, &resolve.types[*id]));
        }
        for function in interface.functions.values() {
            items.insert(format!("{name}/{}", function_name(resolve, function)), function_item(resolve, function));
        }
    }
    for (name, id) in &resolve.packages[package].worlds {
        let world = &resolve.worlds[*id];
        items.insert(format!("world {name}"), item("world", Vec::new(), &world.stability, &world.docs));
        for (word, list) in [("import", &world.imports), ("export", &world.exports)] {
            for (key, of) in list {
                let WorldItem::Interface { stability, docs, .. } = of else {
                    panic!("worlds here hold interfaces only")
                };
                let line = format!("{word} {}", unversioned(resolve, package, &resolve.name_world_key(key)));
                items.insert(format!("world {name}: {line}"), item(word, Vec::new(), stability, docs));
            }
        }
    }
    items
}

/// The name without the version of the package itself, which is not what changes when the version does.
pub fn unversioned(resolve: &Resolve, package: PackageId, name: &str) -> String {
    let own = &resolve.packages[package].name;
    match name.strip_prefix(&format!("{}:{}/", own.namespace, own.name)) {
        Some(rest) => rest.split('@').next().unwrap_or(rest).to_owned(),
        None => name.to_owned(),
    }
}

/// `send` of the resource `connection` as `connection.send`.
pub fn function_name(resolve: &Resolve, function: &Function) -> String {
    let of = |id| resolve.types[id].name.clone().expect("a resource has a name");
    match function.kind {
        FunctionKind::Method(id) | FunctionKind::Static(id) => format!("{}.{}", of(id), function.item_name()),
        FunctionKind::Constructor(id) => format!("{}.constructor", of(id)),
        _ => function.name.clone(),
    }
}

/// A function's type, as it stands in WIT.
pub fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters: Vec<String> = function
        .params
        .iter()
        .skip(usize::from(matches!(function.kind, FunctionKind::Method(_))))
        .map(|parameter| format!("{}: {}", parameter.name, type_name(resolve, &parameter.ty)))
        .collect();
    let parameters = parameters.join(", ");
    if matches!(function.kind, FunctionKind::Constructor(_)) {
        return format!("constructor({parameters})");
    }
    let word = if matches!(function.kind, FunctionKind::Static(_)) { "static func" } else { "func" };
    let result = function.result.map(|result| format!(" -> {}", type_name(resolve, &result))).unwrap_or_default();
    format!("{}: {word}({parameters}){result}", function.item_name())
}

fn function_item(resolve: &Resolve, function: &Function) -> Item {
    item("func", vec![signature(resolve, function)], &function.stability, &function.docs)
}

fn type_item(resolve: &Resolve, of: &TypeDef) -> Item {
    let mut undocumented = Vec::new();
    let mut part = |name: &str, payload: Option<&Type>, separator: &str, docs: &Docs| {
        if docs.contents.is_none() {
            undocumented.push(name.to_owned());
        }
        match payload {
            Some(payload) if separator == "(" => format!("{name}({})", type_name(resolve, payload)),
            Some(payload) => format!("{name}: {}", type_name(resolve, payload)),
            None => name.to_owned(),
        }
    };
    let parts = match &of.kind {
        TypeDefKind::Record(record) => {
            record.fields.iter().map(|field| part(&field.name, Some(&field.ty), ":", &field.docs)).collect()
        }
        TypeDefKind::Variant(variant) => {
            variant.cases.iter().map(|case| part(&case.name, case.ty.as_ref(), "(", &case.docs)).collect()
        }
        TypeDefKind::Enum(cases) => cases.cases.iter().map(|case| part(&case.name, None, "", &case.docs)).collect(),
        TypeDefKind::Flags(flags) => flags.flags.iter().map(|flag| part(&flag.name, None, "", &flag.docs)).collect(),
        TypeDefKind::Resource => Vec::new(),
        TypeDefKind::Type(Type::Id(id)) if resolve.types[*id].owner != of.owner => vec![origin(resolve, *id)],
        TypeDefKind::Type(alias) => vec![type_name(resolve, alias)],
        kind => vec![type_kind(resolve, kind)],
    };
    let kind = match &of.kind {
        TypeDefKind::Type(Type::Id(id)) if resolve.types[*id].owner != of.owner => "use",
        TypeDefKind::Record(_) | TypeDefKind::Variant(_) | TypeDefKind::Enum(_) => of.kind.as_str(),
        TypeDefKind::Flags(_) | TypeDefKind::Resource => of.kind.as_str(),
        _ => "type",
    };
    Item { undocumented, ..item(kind, parts, &of.stability, &of.docs) }
}

/// Where a used type comes from.
fn origin(resolve: &Resolve, id: wit_parser::TypeId) -> String {
    let of = &resolve.types[id];
    let TypeOwner::Interface(owner) = of.owner else { panic!("a used type belongs to an interface") };
    let Interface { name, package, .. } = &resolve.interfaces[owner];
    let (package, name) = (&resolve.packages[package.expect("a package")].name, name.as_deref().unwrap_or_default());
    format!("{}:{}/{name}.{}", package.namespace, package.name, of.name.as_deref().unwrap_or_default())
}

fn item(kind: &'static str, parts: Vec<String>, stability: &Stability, docs: &Docs) -> Item {
    let since = match stability {
        Stability::Stable { since, deprecated: None } => Some(since.to_string()),
        Stability::Stable { since, deprecated: Some(version) } => Some(format!("{since}, deprecated {version}")),
        Stability::Unknown | Stability::Unstable { .. } => None,
    };
    Item { kind, parts, since, docs: docs.contents.clone(), undocumented: Vec::new() }
}

/// A type as WIT writes it.
pub fn type_name(resolve: &Resolve, of: &Type) -> String {
    match of {
        Type::Bool => "bool".to_owned(),
        Type::U8 => "u8".to_owned(),
        Type::U16 => "u16".to_owned(),
        Type::U32 => "u32".to_owned(),
        Type::U64 => "u64".to_owned(),
        Type::String => "string".to_owned(),
        Type::Id(id) => match &resolve.types[*id] {
            TypeDef { name: Some(name), .. } => name.clone(),
            TypeDef { kind, .. } => type_kind(resolve, kind),
        },
        other => format!("{other:?}").to_lowercase(),
    }
}

fn type_kind(resolve: &Resolve, kind: &TypeDefKind) -> String {
    let name = |of: &Type| type_name(resolve, of);
    match kind {
        TypeDefKind::List(of) => format!("list<{}>", name(of)),
        TypeDefKind::Option(of) => format!("option<{}>", name(of)),
        TypeDefKind::Tuple(tuple) => {
            format!("tuple<{}>", tuple.types.iter().map(name).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Result(result) => match (result.ok.as_ref().map(name), result.err.as_ref().map(name)) {
            (ok, Some(error)) => format!("result<{}, {error}>", ok.as_deref().unwrap_or("_")),
            (Some(ok), None) => format!("result<{ok}>"),
            (None, None) => "result".to_owned(),
        },
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", name(&Type::Id(*id))),
        TypeDefKind::Handle(Handle::Own(id)) | TypeDefKind::Type(Type::Id(id)) => name(&Type::Id(*id)),
        TypeDefKind::Type(of) => name(of),
        other => panic!("not used in this package: {other:?}"),
    }
}
