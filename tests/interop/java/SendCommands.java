import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.message.BinaryMessageEncoder;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Sends commands of one type: BOOTSTRAP PROCESSOR SCHEMA-FILE. Each line of the input is a persist
 * id, a command id and the command as JSON, with tabs between; each line of the output a command id
 * and the partition that the command lies on.
 */
public final class SendCommands {
    public static void main(String[] args) throws Exception {
        String processor = args[1];
        Schema schema = new Schema.Parser().parse(new File(args[2]));
        BinaryMessageEncoder<GenericRecord> encoder =
                new BinaryMessageEncoder<>(GenericData.get(), schema);
        Map<String, Object> settings = Map.of("bootstrap.servers", args[0], "acks", "all");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, UTF_8));
        PrintStream out = new PrintStream(System.out, true, UTF_8);
        try (KafkaProducer<String, byte[]> producer =
                new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
            Map<String, Future<RecordMetadata>> sent = new LinkedHashMap<>();
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String[] parts = line.split("\t", 3);
                GenericRecord command =
                        new GenericDatumReader<GenericRecord>(schema)
                                .read(null, DecoderFactory.get().jsonDecoder(schema, parts[2]));
                byte[] value = encoder.encode(command).array();
                ProducerRecord<String, byte[]> record =
                        new ProducerRecord<>(processor + ".commands", parts[0], value);
                record.headers()
                        .add("command-id", parts[1].getBytes(UTF_8))
                        .add("reply-to", (processor + ".replies").getBytes(UTF_8));
                sent.put(parts[1], producer.send(record));
            }
            for (Map.Entry<String, Future<RecordMetadata>> each : sent.entrySet()) {
                out.println(each.getKey() + "\t" + each.getValue().get().partition());
            }
        }
    }
}
