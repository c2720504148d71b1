import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Waits for the replies to some commands, one line of JSON each: BOOTSTRAP PROCESSOR ID... */
public final class ReadReplies {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws IOException {
        Set<String> awaited = new HashSet<>(Arrays.asList(args).subList(2, args.length));
        Map<String, Object> settings =
                Map.of("bootstrap.servers", args[0], "isolation.level", "read_committed");
        String topic = args[1] + ".replies";
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
            consumer.seekToBeginning(partitions); // a service begins at the end, before it sends
            while (!awaited.isEmpty()) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    String id = new String(record.key(), UTF_8);
                    if (awaited.remove(id)) {
                        out.println(line(id, record, schemas));
                    }
                }
            }
        }
    }

    private static ObjectNode line(
            String id, ConsumerRecord<byte[], byte[]> record, Schemas schemas) throws IOException {
        return JSON.createObjectNode()
                .put("command_id", id)
                .put("status", header(record, "status"))
                .put("code", header(record, "code"))
                .put("error", header(record, "error"))
                .put("seq", Long.parseLong(header(record, "seq")))
                .set("value", value(record.value(), schemas));
    }

    private static String header(ConsumerRecord<byte[], byte[]> record, String name) {
        Header header = record.headers().lastHeader(name);
        return header == null ? null : new String(header.value(), UTF_8);
    }

    private static JsonNode value(byte[] value, Schemas schemas) throws IOException {
        if (value == null || value.length == 0) {
            return null; // a reply of None, or no reply but a refusal
        }
        long fingerprint = ByteBuffer.wrap(value).order(LITTLE_ENDIAN).getLong(2);
        Schema written = schemas.byFingerprint.findByFingerprint(fingerprint);
        Object reply = new BinaryMessageDecoder<>(GenericData.get(), written).decode(value);
        return JSON.readTree(GenericData.get().toString(reply));
    }
}
