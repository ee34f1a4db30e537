//! Puts the mutants of one file into its text.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::Range;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::Mutant;

/// A file with mutants in it.
pub struct Instrumented {
    pub text: String,
    /// The number of each mutant, after that of its site: where it is asked whose turn it is.
    pub sites: Vec<(usize, usize)>,
    /// Where the text of each mutant is, and where what it is a mutant of is.
    pub places: Vec<(usize, Range<usize>)>,
}

/// Something that mutants are made of, where it is in the text.
enum Node {
    /// What is between the braces of a function.
    Body(Range<usize>),
    Binary {
        all: Range<usize>,
        left: Range<usize>,
        right: Range<usize>,
    },
    Unary {
        all: Range<usize>,
        operand: Range<usize>,
    },
    Guard(Range<usize>),
    Arm {
        all: Range<usize>,
        pattern: Range<usize>,
        guard: Option<Range<usize>>,
    },
    Struct(Range<usize>),
}

impl Node {
    fn all(&self) -> &Range<usize> {
        match self {
            Self::Body(all) | Self::Guard(all) | Self::Struct(all) => all,
            Self::Binary { all, .. } | Self::Unary { all, .. } | Self::Arm { all, .. } => all,
        }
    }

    fn is_of(&self, genre: &str) -> bool {
        match self {
            Self::Body(_) => genre == "FnValue",
            Self::Binary { .. } => genre == "BinaryOperator",
            Self::Unary { .. } => genre == "UnaryOperator",
            Self::Guard(_) => genre == "MatchArmGuard",
            Self::Arm { .. } => genre == "MatchArm",
            Self::Struct(_) => genre == "StructField",
        }
    }
}

#[derive(Default)]
struct Nodes(Vec<Node>);

impl<'a> Visit<'a> for Nodes {
    fn visit_block(&mut self, block: &'a syn::Block) {
        let all = block.span().byte_range();
        self.0.push(Node::Body(all.start + 1..all.end - 1));
        visit::visit_block(self, block);
    }

    fn visit_expr_binary(&mut self, binary: &'a syn::ExprBinary) {
        // `if let … && …`: the whole is no expression of its own.
        if !holds_let(&binary.left) && !holds_let(&binary.right) {
            let (left, right) = (binary.left.span().byte_range(), binary.right.span().byte_range());
            self.0.push(Node::Binary { all: left.start..right.end, left, right });
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'a syn::ExprUnary) {
        let operand = unary.expr.span().byte_range();
        self.0.push(Node::Unary { all: unary.op.span().byte_range().start..operand.end, operand });
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_match(&mut self, matched: &'a syn::ExprMatch) {
        // An arm that is absent is one with a guard, and another one must be for everything.
        let is_for_all = |arm: &syn::Arm| arm.guard.is_none() && is_for_all(&arm.pat);
        let any = matched.arms.iter().any(is_for_all);
        for arm in &matched.arms {
            let guard = arm.guard.as_ref().map(|(_, guard)| guard.span().byte_range());
            self.0.extend(guard.clone().map(Node::Guard));
            if any && !is_for_all(arm) {
                let pattern = arm.pat.span().byte_range();
                self.0.push(Node::Arm { all: arm.span().byte_range(), pattern, guard });
            }
        }
        visit::visit_expr_match(self, matched);
    }

    fn visit_expr_struct(&mut self, expression: &'a syn::ExprStruct) {
        self.0.push(Node::Struct(expression.span().byte_range()));
        visit::visit_expr_struct(self, expression);
    }
}

/// `_`, a name, or a tuple of these.
fn is_for_all(pattern: &syn::Pat) -> bool {
    match pattern {
        syn::Pat::Wild(_) => true,
        syn::Pat::Ident(name) => name.subpat.is_none() && name.ident.to_string().starts_with(char::is_lowercase),
        syn::Pat::Tuple(tuple) => tuple.elems.iter().all(is_for_all),
        _ => false,
    }
}

fn holds_let(expression: &syn::Expr) -> bool {
    match expression {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => holds_let(&binary.left) || holds_let(&binary.right),
        _ => false,
    }
}

/// What is written before and after a piece of the text.
struct Edit {
    range: Range<usize>,
    before: Vec<(Option<usize>, String)>,
    after: String,
    numbers: Vec<usize>,
}

/// The text with these mutants in it; those that this form is none for are left out.
pub fn instrument(text: &str, mutants: &[(usize, &Mutant)]) -> Instrumented {
    let lines: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let offset = |(line, column): (usize, usize)| {
        let start = lines[line - 1];
        let rest = &text[start..];
        start + rest.char_indices().nth(column - 1).map_or(rest.len(), |(at, _)| at)
    };
    let mut nodes = Nodes::default();
    nodes.visit_file(&syn::parse_file(text).expect("Rust"));
    let mut edits: Vec<Edit> = Vec::new();
    for (node, here) in assign(&nodes.0, mutants, &offset) {
        let numbers: Vec<usize> = here.iter().map(|(number, _)| *number).collect();
        edits.push(edit(text, node, &here, numbers, &offset));
    }
    edits.sort_by_key(|edit| (edit.range.start, Reverse(edit.range.end)));
    let mut writer = Writer { source: text, edits: &edits, out: String::new(), places: Vec::new() };
    let mut at = 0;
    writer.write(0..text.len(), &mut at);
    let of_site = |edit: &Edit| edit.numbers.iter().map(|number| (edit.numbers[0], *number)).collect::<Vec<_>>();
    Instrumented { text: writer.out, sites: edits.iter().flat_map(of_site).collect(), places: writer.places }
}

/// Each mutant belongs to the smallest node of its kind around it.
fn assign<'a, 'b>(
    nodes: &'a [Node],
    mutants: &[(usize, &'b Mutant)],
    offset: &impl Fn((usize, usize)) -> usize,
) -> Vec<(&'a Node, Vec<(usize, &'b Mutant)>)> {
    let mut assigned: Vec<Vec<(usize, &Mutant)>> = nodes.iter().map(|_| Vec::new()).collect();
    for (number, mutant) in mutants {
        let (from, to) = (offset(mutant.from), offset(mutant.to));
        let around = |node: &Node| match node {
            // Its operator is between the operands.
            Node::Binary { left, right, .. } => left.end <= from && to <= right.start,
            Node::Unary { all, .. } => all.start == from,
            Node::Guard(all) => all.start == from,
            node => node.all().start <= from && to <= node.all().end,
        };
        let found = (0..nodes.len()).filter(|at| nodes[*at].is_of(&mutant.genre) && around(&nodes[*at]));
        if let Some(at) = found.min_by_key(|at| nodes[*at].all().len()) {
            assigned[at].push((*number, mutant));
        }
    }
    nodes.iter().zip(assigned).filter(|(_, mutants)| !mutants.is_empty()).collect()
}

fn edit(
    text: &str,
    node: &Node,
    mutants: &[(usize, &Mutant)],
    numbers: Vec<usize>,
    offset: &impl Fn((usize, usize)) -> usize,
) -> Edit {
    let site = numbers[0];
    let mut before = Vec::new();
    let mut begin = String::from("(");
    let _ = write!(begin, "match crate::mutants::at({site}) {{ ");
    let mut arms = |begin: String, mutated: &dyn Fn(&Mutant) -> String, end: &str| {
        before.push((None, begin));
        for (number, mutant) in mutants {
            before.push((None, format!("{number} => ")));
            before.push((Some(*number), mutated(mutant)));
            before.push((None, ", ".to_owned()));
        }
        before.push((None, end.to_owned()));
    };
    let (range, after) = match node {
        Node::Body(all) => {
            arms(
                format!("match crate::mutants::at({site}) {{ "),
                &|mutant| format!("return {}", mutant.replacement),
                "_ => {} } ",
            );
            (all.clone(), "")
        }
        Node::Binary { all, left, right } => {
            let operands = (&text[left.clone()], &text[right.clone()]);
            arms(begin, &|mutant| format!("({}) {} ({})", operands.0, mutant.replacement, operands.1), "_ => ");
            (all.clone(), " })")
        }
        Node::Unary { all, operand } => {
            arms(begin, &|mutant| format!("{}({})", mutant.replacement, &text[operand.clone()]), "_ => ");
            (all.clone(), " })")
        }
        Node::Guard(all) => {
            arms(begin, &|mutant| mutant.replacement.clone(), "_ => ");
            (all.clone(), " })")
        }
        Node::Struct(all) => {
            let without = |mutant: &Mutant| {
                let (from, to) = (offset(mutant.from), offset(mutant.to));
                let rest = text[to..all.end].trim_start();
                format!("{}{}", &text[all.start..from], rest.strip_prefix(',').unwrap_or(rest))
            };
            arms(begin, &without, "_ => ");
            (all.clone(), " })")
        }
        Node::Arm { pattern, guard, .. } => {
            let absent = format!("crate::mutants::at({site}) != {site}");
            match guard {
                Some(guard) => {
                    before.push((Some(site), format!("({absent} && (")));
                    (guard.clone(), "))")
                }
                None => {
                    before.push((Some(site), format!(" if {absent}")));
                    (pattern.end..pattern.end, "")
                }
            }
        }
    };
    Edit { range, before, after: after.to_owned(), numbers }
}

struct Writer<'a> {
    source: &'a str,
    edits: &'a [Edit],
    out: String,
    places: Vec<(usize, Range<usize>)>,
}

impl Writer<'_> {
    /// Writes a range of the source with the edits in it, from the edit `at` on.
    fn write(&mut self, range: Range<usize>, at: &mut usize) {
        let mut position = range.start;
        while let Some(edit) = self.edits.get(*at).filter(|edit| edit.range.end <= range.end) {
            *at += 1;
            self.out.push_str(&self.source[position..edit.range.start]);
            let began = self.out.len();
            for (number, text) in &edit.before {
                let from = self.out.len();
                self.out.push_str(text);
                self.places.extend(number.map(|number| (number, from..self.out.len())));
            }
            self.write(edit.range.clone(), at);
            self.out.push_str(&edit.after);
            for number in &edit.numbers {
                self.places.push((*number, began..self.out.len()));
            }
            position = edit.range.end;
        }
        self.out.push_str(&self.source[position..range.end]);
    }
}

/// The mutants that an error at this place is of.
pub fn at_fault(places: &[(usize, Range<usize>)], error: &Range<usize>) -> BTreeSet<usize> {
    let around = |range: &Range<usize>| range.start <= error.start && error.end <= range.end;
    let smallest = places.iter().filter(|(_, range)| around(range)).map(|(_, range)| range.len()).min();
    let of_size = |range: &Range<usize>| Some(range.len()) == smallest && around(range);
    places.iter().filter(|(_, range)| of_size(range)).map(|(number, _)| *number).collect()
}
