//! Pull plans as DataFusion plans.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{Column, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    AggregateUDF, Expr as DfExpr, JoinType, LogicalPlan, LogicalPlanBuilder, SortExpr,
};
use weir_sql::expr::compile::{CompileContext, to_datafusion};
use weir_sql::expr::ir::Expr;
use weir_sql::plan::physical::{AggregateCall, JoinKind};
use weir_sql::plan::pull::{PullJoin, PullNode, PullScan};

use crate::pull::aggregate::CallUdaf;

/// Builds the DataFusion plan of one pull query.
#[derive(Debug)]
pub struct PullPlanner<'a> {
    context: &'a CompileContext,
    /// The tables of the scans that are not built yet, in the order of [`scans`].
    tables: VecDeque<Arc<dyn TableProvider>>,
    next_alias: usize,
}

/// Every scan of a plan, left to right, which is the order in which [`PullPlanner::plan`] builds them.
pub fn scans(node: &PullNode) -> Vec<&PullScan> {
    match node {
        PullNode::Scan(scan) => vec![scan],
        PullNode::Filter { input, .. }
        | PullNode::Aggregate { input, .. }
        | PullNode::Project { input, .. }
        | PullNode::Distinct { input }
        | PullNode::Sort { input, .. }
        | PullNode::Limit { input, .. } => scans(input),
        PullNode::Join(join) => {
            let mut all = scans(&join.left);
            all.extend(scans(&join.right));
            all
        }
    }
}

impl<'a> PullPlanner<'a> {
    /// Shape: one table per scan of the plan, in the order of [`scans`].
    pub fn new(context: &'a CompileContext, tables: VecDeque<Arc<dyn TableProvider>>) -> PullPlanner<'a> {
        PullPlanner { context, tables, next_alias: 0 }
    }

    pub fn plan(&mut self, node: &PullNode) -> Result<LogicalPlan> {
        self.build(node)?.build()
    }

    fn expr(&self, expr: &Expr) -> Result<DfExpr> {
        to_datafusion(expr, self.context).map_err(|e| DataFusionError::External(Box::new(e)))
    }

    fn build(&mut self, node: &PullNode) -> Result<LogicalPlanBuilder> {
        match node {
            PullNode::Scan(scan) => self.scan(scan),
            PullNode::Filter { input, predicate } => {
                let predicate = self.expr(predicate)?;
                self.build(input)?.filter(predicate)
            }
            PullNode::Join(join) => self.join(join),
            PullNode::Aggregate { input, keys, calls } => {
                let input = self.build(input)?;
                self.aggregate(input, keys, calls)
            }
            PullNode::Project { input, columns } => {
                let input = self.build(input)?;
                let named = |(name, e): &(String, Expr)| Ok(self.expr(e)?.alias(name));
                input.project(columns.iter().map(named).collect::<Result<Vec<DfExpr>>>()?)
            }
            PullNode::Distinct { input } => self.build(input)?.distinct(),
            PullNode::Sort { input, keys } => {
                let input = self.build(input)?;
                let key = |k: &weir_sql::plan::pull::SortKey| {
                    Ok(SortExpr::new(self.expr(&k.expr)?, !k.descending, k.nulls_first))
                };
                input.sort(keys.iter().map(key).collect::<Result<Vec<SortExpr>>>()?)
            }
            PullNode::Limit { input, offset, limit } => {
                let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
                self.build(input)?.limit(size(*offset), limit.map(size))
            }
        }
    }

    fn scan(&mut self, scan: &PullScan) -> Result<LogicalPlanBuilder> {
        let table = self
            .tables
            .pop_front()
            .ok_or_else(|| DataFusionError::Internal(format!("source {} was not opened", scan.source)))?;
        self.next_alias += 1;
        let name = TableReference::bare(format!("scan_{}", self.next_alias));
        let builder = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?;
        match &scan.filter {
            Some(filter) => builder.filter(self.expr(filter)?),
            None => Ok(builder),
        }
    }

    fn join(&mut self, join: &PullJoin) -> Result<LogicalPlanBuilder> {
        let left = self.build(&join.left)?;
        let right = self.build(&join.right)?.build()?;
        let kind = match join.kind {
            JoinKind::Inner => JoinType::Inner,
            JoinKind::Left => JoinType::Left,
            JoinKind::Right => JoinType::Right,
            JoinKind::Outer => JoinType::Full,
        };
        let mut on: (Vec<DfExpr>, Vec<DfExpr>) = (Vec::new(), Vec::new());
        for (l, r) in &join.on {
            on.0.push(self.expr(l)?);
            on.1.push(self.expr(r)?);
        }
        let filter = join.filter.as_ref().map(|f| self.expr(f)).transpose()?;
        left.join_with_expr_keys(right, kind, on, filter)
    }

    /// Arguments and keys are computed below, so that the aggregation reads plain columns.
    fn aggregate(
        &self,
        input: LogicalPlanBuilder,
        keys: &[(String, Expr)],
        calls: &[AggregateCall],
    ) -> Result<LogicalPlanBuilder> {
        let column = |name: &str| DfExpr::Column(Column::new_unqualified(name));
        let mut computed = Vec::new();
        for (name, key) in keys {
            computed.push(self.expr(key)?.alias(name));
        }
        let mut aggregates = Vec::new();
        for (at, call) in calls.iter().enumerate() {
            let mut arguments = Vec::new();
            for (number, argument) in call.arguments.iter().enumerate() {
                let name = format!("argument {at} {number}");
                computed.push(self.expr(argument)?.alias(&name));
                arguments.push(column(&name));
            }
            let function = AggregateUDF::new_from_impl(CallUdaf::new(call)?);
            aggregates.push(function.call(arguments).alias(&call.output.name));
        }
        let groups: Vec<DfExpr> = keys.iter().map(|(name, _)| column(name)).collect();
        input.project(computed)?.aggregate(groups, aggregates)
    }
}
