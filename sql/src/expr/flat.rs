//! The stored form of an expression: its nodes in a list, children before parents, so that the depth of an expression
//! is not the depth of the JSON that holds it (readers of JSON refuse deep nesting).

use serde::{Deserialize, Serialize};

use crate::expr::ir::{Argument, ArithmeticOp, CompareOp, Expr, ExprKind, Lambda, LogicalOp, TimeUnit};
use crate::types::SqlType;
use crate::value::SqlValue;

/// Index of a node in the list; always less than that of its parent.
type NodeId = u32;

/// The nodes of one expression; the last is the root.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct FlatExpr {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Node {
    kind: NodeKind,
    #[serde(rename = "type")]
    sql_type: SqlType,
}

/// [`ExprKind`] with node ids for children.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum NodeKind {
    Column(String),
    LambdaParameter(String),
    Literal(SqlValue),
    Logical { op: LogicalOp, left: NodeId, right: NodeId },
    Not(NodeId),
    Compare { op: CompareOp, left: NodeId, right: NodeId },
    IsDistinctFrom { negated: bool, left: NodeId, right: NodeId },
    IsNull { negated: bool, operand: NodeId },
    Between { negated: bool, operand: NodeId, low: NodeId, high: NodeId },
    In { negated: bool, operand: NodeId, list: Vec<NodeId> },
    Like { negated: bool, operand: NodeId, pattern: NodeId, escape: Option<char> },
    Arithmetic { op: ArithmeticOp, left: NodeId, right: NodeId },
    Negate(NodeId),
    Case { branches: Vec<(NodeId, NodeId)>, otherwise: Option<NodeId> },
    Cast(NodeId),
    Call { function: String, arguments: Vec<NodeArgument> },
    Array(Vec<NodeId>),
    Map(Vec<(NodeId, NodeId)>),
    Struct(Vec<NodeId>),
    Subscript { base: NodeId, index: NodeId },
    Field { base: NodeId, field: String },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum NodeArgument {
    Value(NodeId),
    Null,
    Lambda { parameters: Vec<(String, SqlType)>, body: NodeId },
    Unit(TimeUnit),
}

/// Stored bytes that are no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FlatExprError {
    #[error("an expression without nodes")]
    Empty,
    #[error("node {child} of an expression is used before it is made, or twice")]
    Child { child: NodeId },
    #[error("{count} nodes of an expression are used by none")]
    Unused { count: usize },
}

impl From<Expr> for FlatExpr {
    fn from(expr: Expr) -> FlatExpr {
        let mut nodes = Vec::new();
        flatten(expr, &mut nodes);
        FlatExpr { nodes }
    }
}

fn flatten(expr: Expr, nodes: &mut Vec<Node>) -> NodeId {
    let mut child = |e: Expr| flatten(e, nodes);
    let kind = match expr.kind {
        ExprKind::Column(name) => NodeKind::Column(name),
        ExprKind::LambdaParameter(name) => NodeKind::LambdaParameter(name),
        ExprKind::Literal(value) => NodeKind::Literal(value),
        ExprKind::Logical { op, left, right } => {
            NodeKind::Logical { op, left: child(*left), right: child(*right) }
        }
        ExprKind::Not(e) => NodeKind::Not(child(*e)),
        ExprKind::Compare { op, left, right } => {
            NodeKind::Compare { op, left: child(*left), right: child(*right) }
        }
        ExprKind::IsDistinctFrom { negated, left, right } => {
            NodeKind::IsDistinctFrom { negated, left: child(*left), right: child(*right) }
        }
        ExprKind::IsNull { negated, operand } => NodeKind::IsNull { negated, operand: child(*operand) },
        ExprKind::Between { negated, operand, low, high } => {
            NodeKind::Between { negated, operand: child(*operand), low: child(*low), high: child(*high) }
        }
        ExprKind::In { negated, operand, list } => {
            NodeKind::In { negated, operand: child(*operand), list: list.into_iter().map(child).collect() }
        }
        ExprKind::Like { negated, operand, pattern, escape } => {
            NodeKind::Like { negated, operand: child(*operand), pattern: child(*pattern), escape }
        }
        ExprKind::Arithmetic { op, left, right } => {
            NodeKind::Arithmetic { op, left: child(*left), right: child(*right) }
        }
        ExprKind::Negate(e) => NodeKind::Negate(child(*e)),
        ExprKind::Case { branches, otherwise } => NodeKind::Case {
            branches: branches.into_iter().map(|(when, then)| (child(when), child(then))).collect(),
            otherwise: otherwise.map(|e| child(*e)),
        },
        ExprKind::Cast(e) => NodeKind::Cast(child(*e)),
        ExprKind::Call { function, arguments } => NodeKind::Call {
            function,
            arguments: arguments
                .into_iter()
                .map(|argument| match argument {
                    Argument::Value(e) => NodeArgument::Value(child(e)),
                    Argument::Null => NodeArgument::Null,
                    Argument::Lambda(Lambda { parameters, body }) => {
                        NodeArgument::Lambda { parameters, body: child(*body) }
                    }
                    Argument::Unit(unit) => NodeArgument::Unit(unit),
                })
                .collect(),
        },
        ExprKind::Array(items) => NodeKind::Array(items.into_iter().map(child).collect()),
        ExprKind::Map(entries) => {
            NodeKind::Map(entries.into_iter().map(|(key, value)| (child(key), child(value))).collect())
        }
        ExprKind::Struct(items) => NodeKind::Struct(items.into_iter().map(child).collect()),
        ExprKind::Subscript { base, index } => {
            NodeKind::Subscript { base: child(*base), index: child(*index) }
        }
        ExprKind::Field { base, field } => NodeKind::Field { base: child(*base), field },
    };
    nodes.push(Node { kind, sql_type: expr.sql_type });
    u32::try_from(nodes.len() - 1).expect("statements are shorter than four billion nodes")
}

impl TryFrom<FlatExpr> for Expr {
    type Error = FlatExprError;

    fn try_from(flat: FlatExpr) -> Result<Expr, FlatExprError> {
        let mut built = Built { exprs: Vec::with_capacity(flat.nodes.len()) };
        for node in flat.nodes {
            let kind = built.kind(node.kind)?;
            built.exprs.push(Some(Expr { kind, sql_type: node.sql_type }));
        }
        let root = built.exprs.pop().flatten().ok_or(FlatExprError::Empty)?;
        match built.exprs.iter().flatten().count() {
            0 => Ok(root),
            count => Err(FlatExprError::Unused { count }),
        }
    }
}

/// Nodes already built; each is taken once, by its parent.
struct Built {
    exprs: Vec<Option<Expr>>,
}

impl Built {
    fn take(&mut self, child: NodeId) -> Result<Expr, FlatExprError> {
        self.exprs.get_mut(child as usize).and_then(Option::take).ok_or(FlatExprError::Child { child })
    }

    fn boxed(&mut self, child: NodeId) -> Result<Box<Expr>, FlatExprError> {
        self.take(child).map(Box::new)
    }

    fn list(&mut self, children: Vec<NodeId>) -> Result<Vec<Expr>, FlatExprError> {
        children.into_iter().map(|child| self.take(child)).collect()
    }

    fn pairs(&mut self, children: Vec<(NodeId, NodeId)>) -> Result<Vec<(Expr, Expr)>, FlatExprError> {
        children.into_iter().map(|(a, b)| Ok((self.take(a)?, self.take(b)?))).collect()
    }

    fn kind(&mut self, kind: NodeKind) -> Result<ExprKind, FlatExprError> {
        Ok(match kind {
            NodeKind::Column(name) => ExprKind::Column(name),
            NodeKind::LambdaParameter(name) => ExprKind::LambdaParameter(name),
            NodeKind::Literal(value) => ExprKind::Literal(value),
            NodeKind::Logical { op, left, right } => {
                ExprKind::Logical { op, left: self.boxed(left)?, right: self.boxed(right)? }
            }
            NodeKind::Not(e) => ExprKind::Not(self.boxed(e)?),
            NodeKind::Compare { op, left, right } => {
                ExprKind::Compare { op, left: self.boxed(left)?, right: self.boxed(right)? }
            }
            NodeKind::IsDistinctFrom { negated, left, right } => {
                ExprKind::IsDistinctFrom { negated, left: self.boxed(left)?, right: self.boxed(right)? }
            }
            NodeKind::IsNull { negated, operand } => {
                ExprKind::IsNull { negated, operand: self.boxed(operand)? }
            }
            NodeKind::Between { negated, operand, low, high } => ExprKind::Between {
                negated,
                operand: self.boxed(operand)?,
                low: self.boxed(low)?,
                high: self.boxed(high)?,
            },
            NodeKind::In { negated, operand, list } => {
                ExprKind::In { negated, operand: self.boxed(operand)?, list: self.list(list)? }
            }
            NodeKind::Like { negated, operand, pattern, escape } => ExprKind::Like {
                negated,
                operand: self.boxed(operand)?,
                pattern: self.boxed(pattern)?,
                escape,
            },
            NodeKind::Arithmetic { op, left, right } => {
                ExprKind::Arithmetic { op, left: self.boxed(left)?, right: self.boxed(right)? }
            }
            NodeKind::Negate(e) => ExprKind::Negate(self.boxed(e)?),
            NodeKind::Case { branches, otherwise } => ExprKind::Case {
                branches: self.pairs(branches)?,
                otherwise: otherwise.map(|e| self.boxed(e)).transpose()?,
            },
            NodeKind::Cast(e) => ExprKind::Cast(self.boxed(e)?),
            NodeKind::Call { function, arguments } => ExprKind::Call {
                function,
                arguments: arguments.into_iter().map(|a| self.argument(a)).collect::<Result<_, _>>()?,
            },
            NodeKind::Array(items) => ExprKind::Array(self.list(items)?),
            NodeKind::Map(entries) => ExprKind::Map(self.pairs(entries)?),
            NodeKind::Struct(items) => ExprKind::Struct(self.list(items)?),
            NodeKind::Subscript { base, index } => {
                ExprKind::Subscript { base: self.boxed(base)?, index: self.boxed(index)? }
            }
            NodeKind::Field { base, field } => ExprKind::Field { base: self.boxed(base)?, field },
        })
    }

    fn argument(&mut self, argument: NodeArgument) -> Result<Argument, FlatExprError> {
        Ok(match argument {
            NodeArgument::Value(e) => Argument::Value(self.take(e)?),
            NodeArgument::Null => Argument::Null,
            NodeArgument::Lambda { parameters, body } => {
                Argument::Lambda(Lambda { parameters, body: self.boxed(body)? })
            }
            NodeArgument::Unit(unit) => Argument::Unit(unit),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Expr {
        Expr::literal(SqlValue::Integer(1), SqlType::Integer)
    }

    fn add(left: Expr, right: Expr) -> Expr {
        let kind =
            ExprKind::Arithmetic { op: ArithmeticOp::Add, left: Box::new(left), right: Box::new(right) };
        Expr::new(kind, SqlType::Integer)
    }

    #[test]
    fn deep_expressions_are_read_back() {
        let deep = (0..200).fold(Expr::column("A", SqlType::Integer), |sum, _| add(sum, one()));
        let stored = serde_json::to_string(&deep).expect("expressions serialise");
        assert_eq!(serde_json::from_str::<Expr>(&stored).expect("expressions deserialise"), deep);
    }

    #[test]
    fn nodes_that_make_no_tree_are_refused() {
        let leaf = r#"{"kind":{"Column":"A"},"type":"Integer"}"#;
        let cast = |n: u32| format!(r#"{{"kind":{{"Cast":{n}}},"type":"Bigint"}}"#);
        for stored in [
            "[]".to_owned(),
            format!("[{}]", cast(0)),
            format!("[{leaf},{leaf},{}]", cast(1)),
            format!("[{leaf},{},{}]", cast(0), cast(0)),
        ] {
            assert!(serde_json::from_str::<Expr>(&stored).is_err(), "{stored}");
        }
    }
}
