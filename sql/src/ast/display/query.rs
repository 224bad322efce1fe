//! SELECT.

use crate::ast::display::Printer;
use crate::ast::query::{
    Emit, ExprList, Join, JoinKind, NullsOrder, OrderItem, Query, SelectItem, SelectKind, SortDirection,
    Source, WindowClause, Within,
};
use crate::window::WindowKind;

impl Printer {
    pub(super) fn query(&mut self, query: &Query) {
        self.put(if query.distinct { "SELECT DISTINCT " } else { "SELECT " });
        self.separated(&query.projection, Printer::select_item);
        self.put(" FROM ");
        self.source(&query.from);
        for join in &query.joins {
            self.join(join);
        }
        if let Some(window) = &query.window {
            self.window(window);
        }
        if let Some(filter) = &query.filter {
            self.put(" WHERE ");
            self.expr(filter);
        }
        self.expr_list(" GROUP BY ", query.group_by.as_ref());
        self.expr_list(" PARTITION BY ", query.partition_by.as_ref());
        if let Some(having) = &query.having {
            self.put(" HAVING ");
            self.expr(having);
        }
        if !query.order_by.is_empty() {
            self.put(" ORDER BY ");
            self.separated(&query.order_by, Printer::order_item);
        }
        match query.emit {
            Some(Emit::Changes) => self.put(" EMIT CHANGES"),
            Some(Emit::Final) => self.put(" EMIT FINAL"),
            None => {}
        }
        if let Some(limit) = query.limit {
            self.put(&format!(" LIMIT {limit}"));
        }
        if let Some(offset) = query.offset {
            self.put(&format!(" OFFSET {offset}"));
        }
    }

    fn select_item(&mut self, item: &SelectItem) {
        match &item.kind {
            SelectKind::All => self.put("*"),
            SelectKind::AllOf(source) => {
                self.name(&source.name);
                self.put(".*");
            }
            SelectKind::Fields(expr) => {
                self.base(expr);
                self.put("->*");
            }
            SelectKind::Expr { expr, alias } => {
                self.expr(expr);
                if let Some(alias) = alias {
                    self.put(" AS ");
                    self.name(&alias.name);
                }
            }
        }
    }

    fn source(&mut self, source: &Source) {
        self.name(&source.name.name);
        if let Some(alias) = &source.alias {
            self.put(" AS ");
            self.name(&alias.name);
        }
    }

    fn join(&mut self, join: &Join) {
        self.put(match join.kind {
            JoinKind::Inner => " INNER JOIN ",
            JoinKind::Left => " LEFT OUTER JOIN ",
            JoinKind::Right => " RIGHT OUTER JOIN ",
            JoinKind::Full => " FULL OUTER JOIN ",
        });
        self.source(&join.source);
        if let Some(within) = &join.within {
            self.within(within);
        }
        self.put(" ON ");
        self.expr(&join.on);
    }

    fn within(&mut self, within: &Within) {
        self.put(" WITHIN ");
        if within.before == within.after {
            self.duration(&within.before);
        } else {
            self.put("(");
            self.duration(&within.before);
            self.put(", ");
            self.duration(&within.after);
            self.put(")");
        }
        if let Some(grace) = &within.grace {
            self.put(" GRACE PERIOD ");
            self.duration(grace);
        }
    }

    fn window(&mut self, window: &WindowClause) {
        self.put(match window.kind {
            WindowKind::Tumbling => " WINDOW TUMBLING (SIZE ",
            WindowKind::Hopping => " WINDOW HOPPING (SIZE ",
            WindowKind::Session => " WINDOW SESSION (",
        });
        self.duration(&window.size);
        let parts = [
            (", ADVANCE BY ", &window.advance),
            (", RETENTION ", &window.retention),
            (", GRACE PERIOD ", &window.grace),
        ];
        for (lead, part) in parts {
            if let Some(duration) = part {
                self.put(lead);
                self.duration(duration);
            }
        }
        self.put(")");
    }

    fn expr_list(&mut self, lead: &str, list: Option<&ExprList>) {
        let Some(list) = list else { return };
        self.put(lead);
        // One pair of parentheses is part of the list's grammar, so `(a)` and `a` read the same.
        self.put("(");
        self.separated(&list.items, Printer::expr);
        self.put(")");
    }

    fn order_item(&mut self, item: &OrderItem) {
        self.expr(&item.expr);
        self.put(match item.direction {
            SortDirection::Ascending => " ASC",
            SortDirection::Descending => " DESC",
        });
        match item.nulls {
            Some(NullsOrder::First) => self.put(" NULLS FIRST"),
            Some(NullsOrder::Last) => self.put(" NULLS LAST"),
            None => {}
        }
    }
}
