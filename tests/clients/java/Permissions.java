package weir;

import static weir.Broker.*;
import static weir.Secured.*;

import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialDeletion;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AccessControlEntryFilter;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.errors.ClusterAuthorizationException;
import org.apache.kafka.common.errors.InvalidRequestException;
import org.apache.kafka.common.errors.ResourceNotFoundException;
import org.apache.kafka.common.errors.SaslAuthenticationException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.errors.UnacceptableCredentialException;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.quota.ClientQuotaFilterComponent;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourcePatternFilter;
import org.apache.kafka.common.resource.ResourceType;
import weir.Broker.Behaviour;

/** Users, what they may do, and how much: the admin client's calls, and that they have an effect. */
final class Permissions {
    static void addTo(Map<String, Behaviour> all) {
        all.put("admin-acls", Permissions::adminAcls);
        all.put("admin-scram-users", Permissions::adminScramUsers);
        all.put("admin-quotas", Permissions::adminQuotas);
    }

    private static void adminAcls() throws Exception {
        String topic = create("closed-acls", 1);
        refusal(TopicAuthorizationException.class, "writing without permission", () -> sendAs(sasl("PLAIN"), topic));
        var resource = new ResourcePattern(ResourceType.TOPIC, topic, PatternType.LITERAL);
        var write = new AclBinding(resource,
            new AccessControlEntry("User:alice", "*", AclOperation.WRITE, AclPermissionType.ALLOW));
        var hostile = new AclBinding(resource,
            new AccessControlEntry("User:alice", "10.0.0.1", AclOperation.WRITE, AclPermissionType.DENY));
        admin.createAcls(List.of(write, hostile)).all().get();
        sendAs(sasl("PLAIN"), topic);
        var ofTopic = new AclBindingFilter(new ResourcePatternFilter(ResourceType.TOPIC, topic, PatternType.MATCH),
            AccessControlEntryFilter.ANY);
        equal(Set.copyOf(admin.describeAcls(ofTopic).values().get()), Set.of(write, hostile), "described");
        var operations = admin.describeTopics(List.of(topic), new DescribeTopicsOptions().includeAuthorizedOperations(true))
            .allTopicNames().get().get(topic).authorizedOperations();
        need(operations.contains(AclOperation.WRITE) && operations.contains(AclOperation.DELETE), "operations " + operations);
        try (var own = Admin.create(settings(pairs(sasl("PLAIN"))))) {
            refused(ClusterAuthorizationException.class, () -> own.describeAcls(ofTopic).values().get());
            refused(ClusterAuthorizationException.class, () -> own.createAcls(List.of(write)).all().get());
        }
        equal(Set.copyOf(admin.deleteAcls(List.of(ofTopic)).all().get()), Set.of(write, hostile), "deleted");
        equal(List.copyOf(admin.describeAcls(ofTopic).values().get()), List.of(), "described after the deletion");
        refusal(TopicAuthorizationException.class, "writing after the deletion", () -> sendAs(sasl("PLAIN"), topic));
    }

    private static void adminScramUsers() throws Exception {
        String user = name("user");
        String topic = create("closed-users", 1);
        for (var mechanism : List.of(ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)) {
            var upsertion = new UserScramCredentialUpsertion(user, new ScramCredentialInfo(mechanism, 8192), "secret, too");
            admin.alterUserScramCredentials(List.of(upsertion)).all().get();
            // Who gets so far has proven to be the user.
            refusal(TopicAuthorizationException.class, "a new user",
                () -> sendAs(sasl(mechanism.mechanismName(), user, "secret, too"), topic));
        }
        var described = admin.describeUserScramCredentials(List.of(user)).description(user).get().credentialInfos();
        equal(Set.copyOf(described), Set.of(new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 8192),
            new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192)), "credentials");
        need(admin.describeUserScramCredentials().users().get().containsAll(List.of(user, "alice")), "listed users");
        var deletion = new UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_256);
        admin.alterUserScramCredentials(List.of(deletion)).all().get();
        refusal(SaslAuthenticationException.class, "a credential that is deleted",
            () -> sendAs(sasl("SCRAM-SHA-256", user, "secret, too"), topic));
        refused(ResourceNotFoundException.class, () -> admin.alterUserScramCredentials(List.of(deletion)).all().get());
        var weak = new UserScramCredentialUpsertion(user, new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 10), "x");
        refused(UnacceptableCredentialException.class, () -> admin.alterUserScramCredentials(List.of(weak)).all().get());
    }

    private static Map<ClientQuotaEntity, Map<String, Double>> quotasOf(String user) throws Exception {
        var filter = ClientQuotaFilter.contains(List.of(ClientQuotaFilterComponent.ofEntity(ClientQuotaEntity.USER, user)));
        return admin.describeClientQuotas(filter).entities().get();
    }

    private static void adminQuotas() throws Exception {
        String user = name("user");
        var entity = new ClientQuotaEntity(Map.of(ClientQuotaEntity.USER, user, ClientQuotaEntity.CLIENT_ID, "c"));
        var rates = List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 20_000.0),
            new ClientQuotaAlteration.Op("request_percentage", 50.0));
        admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity, rates))).all().get();
        equal(quotasOf(user), Map.of(entity, Map.of("producer_byte_rate", 20_000.0, "request_percentage", 50.0)), "quotas");
        var gone = new ClientQuotaAlteration(entity, List.of(new ClientQuotaAlteration.Op("request_percentage", null)));
        admin.alterClientQuotas(List.of(gone)).all().get();
        equal(quotasOf(user), Map.of(entity, Map.of("producer_byte_rate", 20_000.0)), "quotas after a removal");
        var unknown = new ClientQuotaAlteration(entity, List.of(new ClientQuotaAlteration.Op("no_such_rate", 1.0)));
        refused(InvalidRequestException.class, () -> admin.alterClientQuotas(List.of(unknown)).all().get());
    }
}
