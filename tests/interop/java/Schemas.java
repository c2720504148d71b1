import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.message.SchemaStore;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;

/** What a schemas topic holds: every schema by its fingerprint, and the newest of each event. */
final class Schemas {
    final SchemaStore.Cache byFingerprint = new SchemaStore.Cache();
    final Map<String, Schema> newestEvent = new HashMap<>();

    /** Reads the topic to its end. The consumer belongs to no group and gets other partitions. */
    static Schemas read(KafkaConsumer<byte[], byte[]> consumer, String topic) {
        Schemas schemas = new Schemas();
        TopicPartition only = new TopicPartition(topic, 0);
        consumer.assign(List.of(only));
        consumer.seekToBeginning(List.of(only));
        long end = consumer.endOffsets(List.of(only)).get(only);
        while (consumer.position(only) < end) {
            consumer.poll(Duration.ofSeconds(1)).forEach(schemas::add);
        }
        return schemas;
    }

    private void add(ConsumerRecord<byte[], byte[]> record) {
        Header kind = record.headers().lastHeader("kind");
        if (kind == null || record.value() == null) {
            return; // the record "meta", or one that was deleted
        }
        Schema schema = new Schema.Parser().parse(new String(record.value(), UTF_8));
        byFingerprint.addSchema(schema);
        if (new String(kind.value(), UTF_8).equals("event")) {
            boolean ours = !"kstate".equals(schema.getNamespace());
            newestEvent.put(ours ? schema.getName() : schema.getFullName(), schema);
        }
    }
}
