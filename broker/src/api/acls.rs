//! DescribeAcls, CreateAcls and DeleteAcls. Source: KIP-140, KIP-290.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::error_map::{Refusal, refusal};
use crate::api::node::Node;
use crate::auth::acl::{Acl, Operation, PatternType, Permission, ResourceType};
use crate::auth::acl_filter::{AclFilter, WireFilter};
use crate::metadata::record::MetadataRecord;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::create_acls::{
    AclCreation, AclCreationResult, CreateAclsRequest, CreateAclsResponse,
};
use crate::protocol::messages::delete_acls::{
    DeleteAclsFilter, DeleteAclsFilterResult, DeleteAclsMatchingAcl, DeleteAclsRequest, DeleteAclsResponse,
};
use crate::protocol::messages::describe_acls::{
    AclDescription, DescribeAclsRequest, DescribeAclsResource, DescribeAclsResponse,
};

/// Rules that are stored at most.
const ACLS_MAX: usize = 100_000;

/// ACLs are refused while no authorizer is configured: they would not be enforced.
fn check_enabled(node: &Node) -> Result<(), Refusal> {
    match node.config().security.authorizer {
        Some(_) => Ok(()),
        None => Err((ErrorCode::SecurityDisabled, "no authorizer is configured on the broker".to_owned())),
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    (ErrorCode::InvalidRequest, message.into())
}

pub(crate) fn describe(node: &Node, request: DescribeAclsRequest) -> DescribeAclsResponse {
    let filter = check_enabled(node).and_then(|()| {
        let wire = WireFilter {
            resource_type: request.resource_type_filter,
            name: request.resource_name_filter,
            pattern_type: request.pattern_type_filter,
            principal: request.principal_filter,
            host: request.host_filter,
            operation: request.operation,
            permission: request.permission_type,
        };
        AclFilter::try_from(wire).map_err(|unknown| invalid(unknown.to_string()))
    });
    let filter = match filter {
        Ok(filter) => filter,
        Err((error_code, message)) => {
            let error_message = Some(message);
            return DescribeAclsResponse { error_code, error_message, ..DescribeAclsResponse::default() };
        }
    };
    let image = node.metadata().image();
    let mut resources: BTreeMap<(i8, &str, i8), Vec<AclDescription>> = BTreeMap::new();
    for acl in image.security().acls.iter().filter(|acl| filter.matches(acl)) {
        let resource = (acl.resource_type.code(), acl.name.as_str(), acl.pattern_type.code());
        resources.entry(resource).or_default().push(AclDescription {
            principal: acl.principal.clone(),
            host: acl.host.clone(),
            operation: acl.operation.code(),
            permission_type: acl.permission.code(),
        });
    }
    let resource = |((resource_type, name, pattern_type), acls): ((i8, &str, i8), _)| DescribeAclsResource {
        resource_type,
        resource_name: name.to_owned(),
        pattern_type,
        acls,
    };
    DescribeAclsResponse {
        resources: resources.into_iter().map(resource).collect(),
        ..DescribeAclsResponse::default()
    }
}

fn parse(creation: AclCreation) -> Result<Acl, Refusal> {
    let unknown =
        |what: &str, code: i8| invalid(format!("{what} {code} is not known, or stands for several"));
    let acl = Acl {
        resource_type: ResourceType::from_code(creation.resource_type)
            .ok_or_else(|| unknown("resource type", creation.resource_type))?,
        pattern_type: PatternType::from_code(creation.resource_pattern_type)
            .ok_or_else(|| unknown("pattern type", creation.resource_pattern_type))?,
        operation: Operation::from_code(creation.operation)
            .ok_or_else(|| unknown("operation", creation.operation))?,
        permission: Permission::from_code(creation.permission_type)
            .ok_or_else(|| unknown("permission type", creation.permission_type))?,
        name: creation.resource_name,
        principal: creation.principal,
        host: creation.host,
    };
    acl.defect().map_or(Ok(acl), |defect| Err(invalid(defect)))
}

pub(crate) async fn create(node: &Node, request: CreateAclsRequest) -> CreateAclsResponse {
    let enabled = check_enabled(node);
    let parsed: Vec<Result<Acl, Refusal>> = request
        .creations
        .into_iter()
        .map(|creation| enabled.clone().and_then(|()| parse(creation)))
        .collect();
    let wanted: Vec<Acl> = parsed.iter().filter_map(|parsed| parsed.clone().ok()).collect();
    let written = node.update_metadata(move |image| {
        let present = &image.security().acls;
        let new: BTreeSet<Acl> = wanted.into_iter().filter(|acl| !present.contains(acl)).collect();
        if present.iter().count() + new.len() > ACLS_MAX {
            let error = (ErrorCode::PolicyViolation, format!("more than {ACLS_MAX} rules are not stored"));
            return Ok((Vec::new(), Err(error)));
        }
        Ok((new.into_iter().map(|acl| MetadataRecord::AclAdded { acl }).collect(), Ok(())))
    });
    let written = written.await.unwrap_or_else(|error| Err(refusal(error)));
    let result = |parsed: Result<Acl, Refusal>| match parsed.and(written.clone()) {
        Ok(()) => AclCreationResult::default(),
        Err((error_code, message)) => AclCreationResult { error_code, error_message: Some(message) },
    };
    CreateAclsResponse { throttle_time_ms: 0, results: parsed.into_iter().map(result).collect() }
}

/// The rules that each filter matched, or its refusal.
type Matches = Vec<Result<Vec<Arc<Acl>>, Refusal>>;

pub(crate) async fn delete(node: &Node, request: DeleteAclsRequest) -> DeleteAclsResponse {
    let enabled = check_enabled(node);
    let parse = |filter: DeleteAclsFilter| {
        let wire = WireFilter {
            resource_type: filter.resource_type_filter,
            name: filter.resource_name_filter,
            pattern_type: filter.pattern_type_filter,
            principal: filter.principal_filter,
            host: filter.host_filter,
            operation: filter.operation,
            permission: filter.permission_type,
        };
        enabled.clone()?;
        AclFilter::try_from(wire).map_err(|unknown| invalid(unknown.to_string()))
    };
    let filters: Vec<Result<AclFilter, Refusal>> = request.filters.into_iter().map(parse).collect();
    let count = filters.len();
    let written = node.update_metadata(move |image| {
        let acls = &image.security().acls;
        let matching = |filter: AclFilter| acls.iter().filter(|acl| filter.matches(acl)).cloned().collect();
        let matches: Matches = filters.into_iter().map(|filter| filter.map(matching)).collect();
        let doomed: BTreeSet<&Arc<Acl>> = matches.iter().flatten().flatten().collect();
        let remove = |acl: &Arc<Acl>| MetadataRecord::AclRemoved { acl: acl.as_ref().clone() };
        Ok((doomed.into_iter().map(remove).collect(), matches))
    });
    let matches = written.await.unwrap_or_else(|error| vec![Err(refusal(error)); count]);
    let describe = |acl: Arc<Acl>| DeleteAclsMatchingAcl {
        resource_type: acl.resource_type.code(),
        resource_name: acl.name.clone(),
        pattern_type: acl.pattern_type.code(),
        principal: acl.principal.clone(),
        host: acl.host.clone(),
        operation: acl.operation.code(),
        permission_type: acl.permission.code(),
        ..DeleteAclsMatchingAcl::default()
    };
    let result = |matched: Result<Vec<Arc<Acl>>, Refusal>| match matched {
        Ok(acls) => DeleteAclsFilterResult {
            matching_acls: acls.into_iter().map(describe).collect(),
            ..DeleteAclsFilterResult::default()
        },
        Err((error_code, message)) => DeleteAclsFilterResult {
            error_code,
            error_message: Some(message),
            ..DeleteAclsFilterResult::default()
        },
    };
    DeleteAclsResponse { throttle_time_ms: 0, filter_results: matches.into_iter().map(result).collect() }
}
