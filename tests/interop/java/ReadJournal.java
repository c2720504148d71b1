import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.PrintStream;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Prints every committed event, one line of JSON each: BOOTSTRAP PROCESSOR. */
public final class ReadJournal {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws IOException {
        Map<String, Object> settings =
                Map.of("bootstrap.servers", args[0], "isolation.level", "read_committed");
        String topic = args[1] + ".journal";
        PrintStream out = new PrintStream(System.out, true, UTF_8);
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(
                        settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            Schemas schemas = Schemas.read(consumer, args[1] + ".schemas");
            List<TopicPartition> partitions =
                    consumer.partitionsFor(topic).stream()
                            .map(each -> new TopicPartition(topic, each.partition()))
                            .toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    if (record.value() != null) { // an event without a value was deleted
                        out.println(line(record, schemas));
                    }
                }
            }
        }
    }

    private static ObjectNode line(ConsumerRecord<byte[], byte[]> record, Schemas schemas)
            throws IOException {
        String key = new String(record.key(), UTF_8);
        int at = key.lastIndexOf('@'); // the last one: a persist id may have its own
        Header type = record.headers().lastHeader("type");
        String name = new String(type.value(), UTF_8);
        // an older event comes in the newest form of its type: the decoder resolves the two
        GenericRecord event =
                new BinaryMessageDecoder<GenericRecord>(
                                GenericData.get(),
                                schemas.newestEvent.get(name),
                                schemas.byFingerprint)
                        .decode(record.value());
        return JSON.createObjectNode()
                .put("persist_id", key.substring(0, at))
                .put("seq", Long.parseLong(key.substring(at + 1)))
                .put("type", name)
                .set("event", JSON.readTree(event.toString()));
    }
}
