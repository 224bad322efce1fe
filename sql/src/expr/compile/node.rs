//! The compiled tree and its evaluation, a column at a time.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, StructArray, UInt32Array, make_array,
    new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::boolean::{and_kleene, not, or_kleene};
use arrow::compute::{interleave, take};
use arrow::error::ArrowError;

use crate::expr::compile::collection;
use crate::expr::compile::frame::Frame;
use crate::expr::ir::{ArithmeticOp, LogicalOp, TimeUnit};
use crate::expr::kernels::arithmetic::{arithmetic, negate};
use crate::expr::kernels::cast::{AllRows, cast_value};
use crate::expr::kernels::compare::Comparison;
use crate::expr::kernels::like::LikePattern;
use crate::functions::budget::bytes_of;
use crate::functions::call::{Call, Environment, LambdaBody, Operand, Value};
use crate::functions::scalar::Kernel;
use crate::types::SqlType;

pub(crate) type NodeResult = Result<Value, ArrowError>;

/// A compiled expression. Columns are indices of the [`Frame`].
#[derive(Debug)]
pub(crate) enum Node {
    Column(usize),
    /// One row.
    Literal(ArrayRef),
    Logical {
        op: LogicalOp,
        left: Box<Node>,
        right: Lazy,
    },
    Not(Box<Node>),
    Compare {
        comparison: Comparison,
        left: Box<Node>,
        right: Box<Node>,
    },
    Distinct {
        comparison: Comparison,
        negated: bool,
        left: Box<Node>,
        right: Box<Node>,
    },
    IsNull {
        negated: bool,
        operand: Box<Node>,
    },
    /// `operand >= low AND operand <= high`.
    Between {
        negated: bool,
        low_comparison: Comparison,
        high_comparison: Comparison,
        operands: Box<[Node; 3]>,
    },
    In {
        negated: bool,
        operand: Box<Node>,
        list: Vec<(Comparison, Node)>,
    },
    Like {
        negated: bool,
        operand: Box<Node>,
        pattern: Pattern,
    },
    Arithmetic {
        op: ArithmeticOp,
        left: Typed,
        right: Typed,
        result: SqlType,
    },
    Negate(Typed),
    Case {
        branches: Vec<(Lazy, Lazy)>,
        otherwise: Option<Lazy>,
        result: SqlType,
    },
    Cast {
        operand: Typed,
        to: SqlType,
    },
    Call {
        kernel: Kernel,
        operands: Vec<CallOperand>,
        argument_types: Vec<Option<SqlType>>,
        result: SqlType,
    },
    Array {
        items: Vec<Node>,
        result: SqlType,
    },
    Map {
        entries: Vec<(Node, Node)>,
        result: SqlType,
    },
    Struct {
        items: Vec<Node>,
        result: SqlType,
    },
    /// The index is an INTEGER for arrays.
    Subscript {
        base: Typed,
        index: Box<Node>,
    },
    Field {
        base: Box<Node>,
        index: usize,
    },
}

/// A node with its type.
#[derive(Debug)]
pub(crate) struct Typed {
    pub(crate) node: Box<Node>,
    pub(crate) sql_type: SqlType,
}

/// A node that may have to be evaluated on some rows only.
#[derive(Debug)]
pub(crate) struct Lazy {
    pub(crate) node: Box<Node>,
    /// The columns it reads.
    pub(crate) columns: Vec<usize>,
    /// True if a row can fail, so that rows not asked for must not be evaluated.
    pub(crate) fallible: bool,
}

#[derive(Debug)]
pub(crate) enum Pattern {
    Constant(Result<LikePattern, String>),
    Computed(Box<Node>, Option<char>),
}

#[derive(Debug)]
pub(crate) enum CallOperand {
    Value(Node),
    Lambda(LambdaNode),
    Unit(TimeUnit),
}

/// Shape: the body's columns are the `captured` ones of the enclosing frame, then the lambda's parameters.
#[derive(Debug)]
pub(crate) struct LambdaNode {
    pub(crate) captured: Vec<usize>,
    pub(crate) body: Node,
}

struct BoundLambda<'a> {
    lambda: &'a LambdaNode,
    frame: &'a Frame<'a>,
}

impl LambdaBody for BoundLambda<'_> {
    fn evaluate(&self, rows: &[u32], parameters: Vec<ArrayRef>) -> Result<ArrayRef, ArrowError> {
        let elements = self.frame.elements(rows, &self.lambda.captured, parameters)?;
        let result = self.lambda.body.evaluate(&elements)?.to_array(rows.len(), self.frame.budget());
        self.frame.absorb(&elements, rows);
        result
    }
}

impl Node {
    /// Shape: a column of `frame.rows` rows, or one value for all of them.
    ///
    /// Errors: defects, and a memory error if the evaluation exceeds its budget.
    pub(crate) fn evaluate(&self, frame: &Frame<'_>) -> NodeResult {
        let before = frame.budget().used();
        let value = self.compute(frame)?;
        // The memory of the operands is free again; the value stays.
        frame.budget().restore(before);
        if !matches!(self, Node::Column(_) | Node::Literal(_)) {
            frame.budget().charge(bytes_of(value.array.as_ref(), 0, value.array.len()))?;
        }
        Ok(value)
    }

    fn compute(&self, frame: &Frame<'_>) -> NodeResult {
        match self {
            Node::Column(index) => Ok(Value::column(frame.column(*index))),
            Node::Literal(array) => Ok(Value::scalar(Arc::clone(array))),
            Node::Logical { op, left, right } => logical(*op, left, right, frame),
            Node::Not(operand) => {
                let value = operand.evaluate(frame)?;
                boolean(not(value.array.as_boolean())?, value.scalar)
            }
            Node::Compare { comparison, left, right } => {
                comparison.evaluate(&left.evaluate(frame)?, &right.evaluate(frame)?, frame.rows, frame)
            }
            Node::Distinct { comparison, negated, left, right } => {
                let (left, right) = (left.evaluate(frame)?, right.evaluate(frame)?);
                let value = comparison.distinct(&left, &right, frame.rows, frame)?;
                negate_if(*negated, value)
            }
            Node::IsNull { negated, operand } => {
                let value = operand.caught(frame)?;
                let nulls = arrow::compute::is_null(&value.array)?;
                negate_if(*negated, Value { array: Arc::new(nulls), scalar: value.scalar })
            }
            Node::Between { negated, low_comparison, high_comparison, operands } => {
                let [operand, low, high] = operands.as_ref();
                let operand = operand.evaluate(frame)?;
                let low = low_comparison.evaluate(&operand, &low.evaluate(frame)?, frame.rows, frame)?;
                let high = high_comparison.evaluate(&operand, &high.evaluate(frame)?, frame.rows, frame)?;
                negate_if(*negated, combine(LogicalOp::And, &low, &high, frame)?)
            }
            Node::In { negated, operand, list } => contained(*negated, operand, list, frame),
            Node::Like { negated, operand, pattern } => like(*negated, operand, pattern, frame),
            Node::Arithmetic { op, left, right, result } => {
                let (l, r) = (left.node.evaluate(frame)?, right.node.evaluate(frame)?);
                let value =
                    arithmetic(*op, (&l, &left.sql_type), (&r, &right.sql_type), result, frame.rows, frame)?;
                raise_nulls(&value, frame);
                Ok(value)
            }
            Node::Negate(operand) => {
                let value = operand.node.evaluate(frame)?;
                raise_nulls(&value, frame);
                Ok(Value { array: negate(&value.array, &operand.sql_type)?, scalar: value.scalar })
            }
            Node::Case { branches, otherwise, result } => case(branches, otherwise.as_ref(), result, frame),
            Node::Cast { operand, to } => frame.caught(|| {
                let value = operand.node.evaluate(frame)?;
                cast_value(&value, &operand.sql_type, to, frame.rows, frame)
            }),
            Node::Call { kernel, operands, argument_types, result } => {
                call(*kernel, operands, argument_types, result, frame)
            }
            Node::Array { items, result } => {
                let items = evaluate_all(items, frame)?;
                charge_all(&items, frame)?;
                collection::array(&items, result, frame.rows)
            }
            Node::Map { entries, result } => {
                let keys = entries.iter().map(|(k, _)| k.caught(frame)).collect::<Result<Vec<_>, _>>()?;
                let values = entries.iter().map(|(_, v)| v.caught(frame)).collect::<Result<Vec<_>, _>>()?;
                charge_all(&keys, frame)?;
                charge_all(&values, frame)?;
                collection::map(&keys, &values, result, frame)
            }
            Node::Struct { items, result } => structure(&evaluate_all(items, frame)?, result, frame),
            Node::Subscript { base, index } => {
                let (base_value, index) = (base.node.evaluate(frame)?, index.evaluate(frame)?);
                if base_value.scalar && !index.scalar {
                    // Any element may be picked for every row.
                    frame.budget().charge(base_value.spread_bytes(frame.rows))?;
                }
                collection::subscript(&base_value, &base.sql_type, &index, frame.rows)
            }
            Node::Field { base, index } => field(&base.evaluate(frame)?, *index),
        }
    }

    /// As [`Node::evaluate`]; rows that could not be computed are NULL.
    pub(crate) fn caught(&self, frame: &Frame<'_>) -> NodeResult {
        match self {
            Node::Column(_) | Node::Literal(_) => self.evaluate(frame),
            _ => frame.caught(|| self.evaluate(frame)),
        }
    }
}

/// Arithmetic on NULL has no value.
fn raise_nulls(value: &Value, frame: &Frame<'_>) {
    if value.array.null_count() == 0 {
        return;
    }
    for row in 0..frame.rows {
        if value.array.is_null(if value.scalar { 0 } else { row }) {
            frame.raise(row);
        }
    }
}

fn evaluate_all(nodes: &[Node], frame: &Frame<'_>) -> Result<Vec<Value>, ArrowError> {
    nodes.iter().map(|n| n.caught(frame)).collect()
}

/// Charges a copy of all items.
fn charge_all(items: &[Value], frame: &Frame<'_>) -> Result<(), ArrowError> {
    items.iter().try_for_each(|item| frame.budget().charge(picked_bytes(item, frame.rows)))
}

fn boolean(array: BooleanArray, scalar: bool) -> NodeResult {
    Ok(Value { array: Arc::new(array), scalar })
}

fn negate_if(negated: bool, value: Value) -> NodeResult {
    if negated { boolean(not(value.array.as_boolean())?, value.scalar) } else { Ok(value) }
}

fn combine(op: LogicalOp, left: &Value, right: &Value, frame: &Frame<'_>) -> NodeResult {
    let (rows, budget) = (frame.rows, frame.budget());
    let scalar = left.scalar && right.scalar;
    let rows = if scalar { 1 } else { rows };
    let (left, right) = (left.to_array(rows, budget)?, right.to_array(rows, budget)?);
    let (left, right) = (left.as_boolean(), right.as_boolean());
    let result = match op {
        LogicalOp::And => and_kleene(left, right)?,
        LogicalOp::Or => or_kleene(left, right)?,
    };
    boolean(result, scalar)
}

fn logical(op: LogicalOp, left: &Node, right: &Lazy, frame: &Frame<'_>) -> NodeResult {
    let left = left.evaluate(frame)?;
    if !right.fallible {
        return combine(op, &left, &right.node.evaluate(frame)?, frame);
    }
    // Rows that the left side decides alone.
    let decided = op == LogicalOp::Or;
    let left_rows = left.to_array(frame.rows, frame.budget())?;
    let left_rows = left_rows.as_boolean();
    let open: Vec<u32> = (0..frame.rows)
        .filter(|i| left_rows.is_null(*i) || left_rows.value(*i) != decided)
        .map(|i| i as u32)
        .collect();
    if open.len() == frame.rows {
        return combine(op, &left, &right.node.evaluate(frame)?, frame);
    }
    if open.is_empty() {
        return Ok(left);
    }
    let narrow = frame.select(&open, &right.columns)?;
    let part = right.node.evaluate(&narrow)?.to_array(open.len(), frame.budget())?;
    frame.absorb(&narrow, &open);
    combine(op, &left, &Value::column(scatter(&part, &open, frame.rows)?), frame)
}

/// Spreads values over their rows; the others are NULL.
fn scatter(values: &ArrayRef, rows: &[u32], length: usize) -> Result<ArrayRef, ArrowError> {
    let mut indices = vec![None; length];
    for (i, row) in rows.iter().enumerate() {
        indices[*row as usize] = Some(i as u32);
    }
    take(values, &UInt32Array::from(indices), None)
}

fn contained(negated: bool, operand: &Node, list: &[(Comparison, Node)], frame: &Frame<'_>) -> NodeResult {
    let operand = operand.evaluate(frame)?;
    let mut found: Option<Value> = None;
    for (comparison, item) in list {
        let equal = comparison.evaluate(&operand, &item.evaluate(frame)?, frame.rows, frame)?;
        found = Some(match found {
            None => equal,
            Some(before) => combine(LogicalOp::Or, &before, &equal, frame)?,
        });
    }
    let found = found.unwrap_or_else(|| Value::scalar(Arc::new(BooleanArray::from(vec![false]))));
    negate_if(negated, found)
}

fn like(negated: bool, operand: &Node, pattern: &Pattern, frame: &Frame<'_>) -> NodeResult {
    let texts = operand.evaluate(frame)?.to_array(frame.rows, frame.budget())?;
    let texts = texts.as_string::<i32>();
    let mut builder = BooleanBuilder::with_capacity(frame.rows);
    match pattern {
        Pattern::Constant(Ok(pattern)) => {
            for text in texts {
                builder.append_option(text.map(|t| pattern.matches(t) != negated));
            }
        }
        Pattern::Constant(Err(message)) => {
            for row in 0..frame.rows {
                frame.fail(row, message);
                builder.append_null();
            }
        }
        Pattern::Computed(node, escape) => {
            let patterns = node.evaluate(frame)?.to_array(frame.rows, frame.budget())?;
            for (row, (text, pattern)) in texts.iter().zip(patterns.as_string::<i32>()).enumerate() {
                let (Some(text), Some(pattern)) = (text, pattern) else {
                    builder.append_null();
                    continue;
                };
                match LikePattern::new(pattern, *escape) {
                    Ok(pattern) => builder.append_value(pattern.matches(text) != negated),
                    Err(message) => {
                        frame.fail(row, &message);
                        builder.append_null();
                    }
                }
            }
        }
    }
    let value = Value::column(Arc::new(builder.finish()));
    raise_nulls(&value, frame);
    Ok(value)
}

/// Evaluates a branch on some rows. Shape: a column of `rows.len()` rows, or one value.
fn on_rows(lazy: &Lazy, rows: &[u32], frame: &Frame<'_>) -> NodeResult {
    if rows.len() == frame.rows {
        return lazy.node.evaluate(frame);
    }
    let part = frame.select(rows, &lazy.columns)?;
    let value = lazy.node.evaluate(&part);
    frame.absorb(&part, rows);
    value
}

fn case(
    branches: &[(Lazy, Lazy)],
    otherwise: Option<&Lazy>,
    result: &SqlType,
    frame: &Frame<'_>,
) -> NodeResult {
    // Where each row of the result comes from: array and row in it. Array 0 is one NULL.
    let mut sources: Vec<ArrayRef> = vec![new_null_array(&result.to_arrow(), 1)];
    let mut picks = vec![(0_usize, 0_usize); frame.rows];
    let mut open: Vec<u32> = (0..frame.rows as u32).collect();
    let mut take_from = |lazy: &Lazy, rows: &[u32]| -> Result<(), ArrowError> {
        if rows.is_empty() {
            return Ok(());
        }
        let value = on_rows(lazy, rows, frame)?;
        frame.budget().charge(picked_bytes(&value, rows.len()))?;
        for (i, row) in rows.iter().enumerate() {
            picks[*row as usize] = (sources.len(), if value.scalar { 0 } else { i });
        }
        sources.push(value.array);
        Ok(())
    };
    for (condition, branch) in branches {
        if open.is_empty() {
            break;
        }
        let holds = on_rows(condition, &open, frame)?.to_array(open.len(), frame.budget())?;
        let holds = holds.as_boolean();
        let mut matched = Vec::new();
        let mut rest = Vec::new();
        for (i, row) in open.iter().enumerate() {
            if holds.is_null(i) {
                frame.fail(*row as usize, "the condition of a CASE branch is null");
            } else if holds.value(i) {
                matched.push(*row);
            } else {
                rest.push(*row);
            }
        }
        take_from(branch, &matched)?;
        open = rest;
    }
    if let Some(otherwise) = otherwise {
        take_from(otherwise, &open)?;
    }
    let arrays: Vec<&dyn Array> = sources.iter().map(AsRef::as_ref).collect();
    Ok(Value::column(interleave(&arrays, &picks)?))
}

/// The bytes of one value per row, picked from a column of as many rows or repeated.
fn picked_bytes(value: &Value, rows: usize) -> usize {
    if value.scalar { value.spread_bytes(rows) } else { bytes_of(value.array.as_ref(), 0, value.array.len()) }
}

fn call(
    kernel: Kernel,
    operands: &[CallOperand],
    argument_types: &[Option<SqlType>],
    result: &SqlType,
    frame: &Frame<'_>,
) -> NodeResult {
    let mut constant = !operands.is_empty();
    let operands = operands
        .iter()
        .map(|operand| {
            Ok(match operand {
                CallOperand::Value(node) => {
                    let value = node.caught(frame)?;
                    constant &= value.scalar;
                    Operand::Value(value)
                }
                CallOperand::Lambda(lambda) => {
                    constant = false;
                    Operand::Lambda(Box::new(BoundLambda { lambda, frame }))
                }
                CallOperand::Unit(unit) => Operand::Unit(*unit),
            })
        })
        .collect::<Result<Vec<_>, ArrowError>>()?;
    let spread = AllRows { environment: frame, rows: frame.rows };
    let (rows, environment): (usize, &dyn Environment) =
        if constant { (1, &spread) } else { (frame.rows, frame) };
    let array =
        kernel(&Call { rows, operands: &operands, argument_types, return_type: result, environment })?;
    debug_assert_eq!(array.len(), rows);
    debug_assert_eq!(*array.data_type(), result.to_arrow());
    Ok(Value { array, scalar: constant })
}

fn structure(items: &[Value], result: &SqlType, frame: &Frame<'_>) -> NodeResult {
    let rows = frame.rows;
    let arrow::datatypes::DataType::Struct(fields) = result.to_arrow() else {
        return Err(ArrowError::ComputeError(format!("a struct constructor gives {result}")));
    };
    if items.is_empty() {
        return Ok(Value::column(Arc::new(StructArray::new_empty_fields(rows, None))));
    }
    let columns = items.iter().map(|v| v.to_array(rows, frame.budget())).collect::<Result<Vec<_>, _>>()?;
    Ok(Value::column(Arc::new(StructArray::try_new(fields, columns, None)?)))
}

fn field(base: &Value, index: usize) -> NodeResult {
    let structure = base.array.as_struct();
    let column = structure.column(index);
    let array = match structure.nulls() {
        None => Arc::clone(column),
        Some(outer) => {
            let nulls = NullBuffer::union(Some(outer), column.nulls());
            make_array(column.to_data().into_builder().nulls(nulls).build()?)
        }
    };
    Ok(Value { array, scalar: base.scalar })
}
