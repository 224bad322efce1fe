package weir;

import static weir.Broker.*;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import weir.Broker.Behaviour;

/** Kafka's Java client against a broker. Usage: JavaClient HOST:PORT [BEHAVIOUR...]. Lines on standard output as in report.py. */
public final class JavaClient {
    static String cause(Throwable error) {
        String line = Arrays.stream(error.getStackTrace()).filter(f -> f.getClassName().startsWith("weir."))
            .filter(f -> !List.of("need", "equal", "until").contains(f.getMethodName()))
            .map(f -> " (" + f.getFileName() + ":" + f.getLineNumber() + ")").findFirst().orElse("");
        return (error + line).replaceAll("\\s+", " ");
    }

    public static void main(String[] arguments) {
        Broker.broker = arguments[0];
        Set<String> only = Set.of(Arrays.copyOfRange(arguments, 1, arguments.length));
        Broker.admin = Admin.create(Broker.settings());
        Map<String, Behaviour> behaviours = new LinkedHashMap<>();
        Records.addTo(behaviours);
        Groups.addTo(behaviours);
        Transactions.addTo(behaviours);
        Administration.addTo(behaviours);
        Replicas.addTo(behaviours);
        Permissions.addTo(behaviours);
        Lifecycle.addTo(behaviours);
        Secured.addTo(behaviours);
        Restarts.addTo(behaviours);
        behaviours.forEach((name, behaviour) -> {
            if (!only.isEmpty() && !only.contains(name)) return;
            long started = System.nanoTime();
            try {
                behaviour.run();
                System.out.println("PASS " + name);
            } catch (Throwable error) {
                System.out.println("FAIL " + name + ": " + cause(error));
                error.printStackTrace();
            }
            System.err.println(name + ": " + (System.nanoTime() - started) / 1_000_000 + " ms");
        });
        System.out.flush();
        // Threads of a client that failed must not keep the process.
        Runtime.getRuntime().halt(0);
    }
}
