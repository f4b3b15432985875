/* A worker: runs sources that the engine has no connector for. As it stands it reads the lines of files.
 *
 *     javac -cp jeromq.jar *.java && java -cp jeromq.jar:. Worker [--engine tcp://127.0.0.1:5570] [--name NAME]
 *
 * Wherever a job has a source of the URN `example:lines:v1`, with the payload {"path": …, "follow": …}, the engine has one of the workers
 * run it, in this or in another language; when that one dies, another goes on from the cursor, and no line is missing or there twice. Make
 * a Reader of your own and you have a worker of your own. Needs JeroMQ, 0.3.6 or later. */
import java.io.EOFException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.zeromq.ZContext;
import org.zeromq.ZMQ;

public final class Worker {
    static final int SILENCE_MS = 5000; // the engine says something at least every 2 s: after this it has forgotten us
    static final int ANSWER_MS = 10000;
    static final int WAIT_MS = 20;      // how long a source that has nothing at this moment is left alone
    static final int BATCHES = 8;       // of one source, before the others have their turn
    static final int IN_FLIGHT = 256;   // batches of a source that are not recorded yet

    /** Elements, each [event time in µs, bytes] or [event time in µs, bytes, attributes]; `cursor` and `watermark` may be null. */
    record Batch(List<Object> elements, Object cursor, Long watermark) {
    }

    /** One source while it runs. */
    interface Reader {
        /** null where there is nothing at this moment, EOFException where there never will be again. What else it throws fails the job,
         * with that as its error. Must not block. */
        Batch read() throws Exception;

        /** Nobody needs it any more, or, where it is not `over`, somebody else goes on. What was not recorded is read again, there. */
        void close(boolean over) throws Exception;
    }

    /** Makes a Reader: `given` is the engine's `source.start`, with its `job`, `tag`, `urn` and `payload`; `cursor` that of the last
     * batch that is recorded, null at the beginning: go on behind it. */
    interface Maker {
        Reader make(Map<String, Object> given, Object cursor) throws Exception;
    }

    /** The lines of a file, to its end, or with `follow` for ever. The cursor is the byte that the next line begins at. */
    static final class Lines implements Reader {
        private final RandomAccessFile file;
        private final boolean follow;
        private long offset;
        private byte[] piece = new byte[8192];

        Lines(Map<String, Object> given, Object cursor) throws IOException {
            Map<String, Object> payload = map(given.get("payload"));
            file = new RandomAccessFile((String) payload.get("path"), "r");
            follow = Boolean.TRUE.equals(payload.get("follow"));
            offset = cursor == null ? 0 : (Long) cursor;
        }

        @Override
        public Batch read() throws IOException {
            file.seek(offset);
            int size = Math.max(0, file.read(piece));
            int end = size;
            while (end > 0 && piece[end - 1] != '\n') {
                end--;
            }
            if (end == 0 && size == piece.length) { // a long line
                piece = new byte[2 * size];
                return read();
            }
            if (size < piece.length && !follow) { // then the last line may end with the file
                end = size;
            }
            if (end == 0 && !follow) {
                throw new EOFException();
            }
            offset += end;
            return end == 0 ? null : new Batch(lines(end), offset, null);
        }

        private List<Object> lines(int end) {
            long now = System.currentTimeMillis() * 1000;
            List<Object> elements = new ArrayList<>();
            for (int begin = 0, at = 0; at <= end; at++) {
                if (at < end ? piece[at] == '\n' : begin < end) {
                    elements.add(List.of(now, Arrays.copyOfRange(piece, begin, at)));
                    begin = at + 1;
                }
            }
            return elements;
        }

        @Override
        public void close(boolean over) throws IOException {
            file.close();
        }
    }

    /** The engine said no. */
    static final class Refused extends RuntimeException {
        Refused(Object error) {
            super(map(error).get("message") + " (" + map(error).get("code") + ")");
        }
    }

    /** An endpoint of the engine. */
    static final class Connection {
        private final ZMQ.Socket socket;

        Connection(ZContext context, String endpoint) {
            socket = context.createSocket(ZMQ.DEALER);
            socket.setLinger(0);
            socket.connect(endpoint);
        }

        /** `pairs`: names and values by turns. Returns the bytes that were sent. */
        int send(String op, byte[] body, Object... pairs) {
            Map<String, Object> message = new LinkedHashMap<>();
            message.put("op", op);
            for (int i = 0; i < pairs.length; i += 2) {
                if (pairs[i + 1] != null) {
                    message.put((String) pairs[i], pairs[i + 1]);
                }
            }
            byte[] head = Msgpack.pack(message);
            socket.send(head, body == null ? 0 : ZMQ.SNDMORE);
            if (body != null) {
                socket.send(body, 0);
            }
            return head.length + (body == null ? 0 : body.length);
        }

        /** null: nothing came for so long. */
        Map<String, Object> receive(int timeoutMs) {
            socket.setReceiveTimeOut(timeoutMs);
            byte[] head = socket.recv(timeoutMs == 0 ? ZMQ.DONTWAIT : 0);
            while (head != null && socket.hasReceiveMore()) {
                socket.recv(0);
            }
            return head == null ? null : map(Msgpack.unpack(head));
        }
    }

    /** What the worker was given, once it is attached. */
    final class Source {
        final String job, tag;
        private final Reader reader;
        private final Object number;
        private final long credit;
        private long seq;
        private final ArrayDeque<long[]> unacked = new ArrayDeque<>(); // batches: their number, and the bytes of their message
        private long bytes;
        private boolean ended, done;

        Source(Map<String, Object> given, Reader reader, Map<String, Object> attached) {
            this.job = (String) given.get("job");
            this.tag = (String) given.get("tag");
            this.reader = reader;
            this.number = attached.get("source");
            this.credit = (Long) attached.get("credit");
            this.seq = (Long) attached.get("next_seq");
        }

        /** Sends what there is, if not more than others have time for. True: there is more. */
        boolean produce() throws Exception {
            for (int i = 0; i < BATCHES; i++) {
                if (ended || bytes >= credit || unacked.size() >= IN_FLIGHT) {
                    return false;
                }
                Batch batch;
                try {
                    batch = reader.read();
                } catch (EOFException end) {
                    ended = true;
                    finish();
                    return false;
                }
                if (batch == null) {
                    return false;
                }
                long size = connection.send("source.batch", Msgpack.pack(batch.elements()), "source", number, "tag", tag, "seq", seq,
                                            "cursor", batch.cursor(), "watermark", batch.watermark());
                unacked.add(new long[] {seq++, size});
                bytes += size;
            }
            return true;
        }

        /** All batches up to this one are recorded. */
        void recorded(long last) {
            while (!unacked.isEmpty() && unacked.peek()[0] <= last) {
                bytes -= unacked.poll()[1];
            }
            finish();
        }

        /** Once everything is recorded, a source that has ended says so. */
        private void finish() {
            if (ended && unacked.isEmpty() && !done) {
                done = true;
                connection.send("source.done", null, "id", List.of("done", job, tag), "source", number, "tag", tag);
            }
        }
    }

    private final Connection connection;
    private final Map<String, Maker> makers; // by URN
    private final String name;
    private final Map<List<Object>, Source> sources = new LinkedHashMap<>();          // by job and tag
    private final Map<Object, Map<String, Object>> given = new LinkedHashMap<>();     // what we have asked to be let in for, by request
    private long asked;
    private long heard;
    private volatile boolean stopping;

    Worker(Connection connection, Map<String, Maker> makers, String name) {
        this.connection = connection;
        this.makers = makers;
        this.name = name;
    }

    /** Says what can run here, and that nothing does: what did is given out anew, to us or to others, from where it is recorded. */
    private void ready(Iterable<String> urns) {
        for (Source source : new ArrayList<>(sources.values())) {
            drop(List.of(source.job, source.tag), false);
        }
        given.clear();
        List<Object> list = new ArrayList<>();
        urns.forEach(list::add);
        connection.send("worker.ready", null, "id", List.of("ready"), "urns", list, "worker", name);
        heard = System.nanoTime();
    }

    /** Runs until it is told to stop, and then leaves, so that others go on at once. */
    void run() {
        ready(makers.keySet());
        while (!stopping) {
            if (System.nanoTime() - heard > SILENCE_MS * 1000000L) {
                ready(makers.keySet());
            }
            boolean busy = false;
            for (Source source : new ArrayList<>(sources.values())) {
                try {
                    busy |= source.produce();
                } catch (Exception problem) {
                    fail(source.job, source.tag, problem);
                }
            }
            Map<String, Object> message = connection.receive(busy ? 0 : WAIT_MS);
            for (; message != null; message = connection.receive(0)) {
                heard = System.nanoTime();
                if (message.containsKey("op")) {
                    take(message);
                } else {
                    takeAnswer(message);
                }
            }
        }
        ready(List.of());
        for (Map<String, Object> answer; (answer = connection.receive(ANSWER_MS)) != null && !List.of("ready").equals(answer.get("id"));) {
            heard = System.nanoTime();
        }
    }

    void stop() {
        stopping = true;
    }

    private void take(Map<String, Object> message) {
        String op = (String) message.get("op");
        boolean over = !"superseded".equals(message.get("reason"));
        if (op.equals("ping")) {
            connection.send("pong", null);
        } else if (op.equals("source.start")) {
            drop(about(message), false);
            given.put(++asked, message);
            connection.send("source.attach", null, "id", List.of("attach", asked), "job", message.get("job"), "tag", message.get("tag"),
                            "producer", message.get("producer"));
        } else if (message.containsKey("source")) {
            for (Source source : new ArrayList<>(sources.values())) { // none: it is about a former attachment
                if (source.number.equals(message.get("source"))) {
                    takeOf(source, op, message, over);
                }
            }
        } else if (op.equals("source.stop")) {
            drop(about(message), over);
        }
    }

    private void takeOf(Source source, String op, Map<String, Object> message, boolean over) {
        if (op.equals("source.ack")) {
            source.recorded((Long) message.get("seq"));
        } else if (op.equals("source.stop")) {
            drop(List.of(source.job, source.tag), over);
        } else if (op.equals("source.nack") && mayRetry(message)) {
            ready(makers.keySet()); // the engine has lost its state
        } else if (op.equals("source.nack")) {
            fail(source.job, source.tag, new Refused(message.get("error")));
        }
    }

    private void takeAnswer(Map<String, Object> message) {
        boolean good = Boolean.TRUE.equals(message.get("ok"));
        List<?> id = message.get("id") instanceof List<?> list ? list : List.of("ready");
        Map<String, Object> start = id.get(0).equals("attach") ? given.remove(id.get(1)) : null; // null: it was given out again since
        if (!good && mayRetry(message)) {
            ready(makers.keySet());
        } else if (!good && id.get(0).equals("ready")) {
            throw new Refused(message.get("error"));
        } else if (id.get(0).equals("done")) {
            drop(List.of(id.get(1), id.get(2)), true);
        } else if (start != null && good) {
            try {
                Reader reader = makers.get(start.get("urn")).make(start, message.get("cursor"));
                sources.put(about(start), new Source(start, reader, message));
            } catch (Exception problem) {
                fail((String) start.get("job"), (String) start.get("tag"), problem);
            }
        }
    }

    private void drop(List<Object> about, boolean over) {
        given.values().removeIf(start -> about(start).equals(about));
        Source source = sources.remove(about);
        if (source != null) {
            try {
                source.reader.close(over);
            } catch (Exception problem) {
                System.err.println("Worker: " + problem.getMessage());
            }
        }
    }

    /** The job fails, and says why. */
    private void fail(String job, String tag, Exception problem) {
        String why = problem.getMessage() == null ? problem.toString() : problem.getMessage();
        connection.send("source.fail", null, "id", List.of("fail", job, tag), "job", job, "tag", tag, "message", why);
        drop(List.of(job, tag), true);
    }

    private static boolean mayRetry(Map<String, Object> message) {
        return Boolean.TRUE.equals(map(message.get("error")).get("retry"));
    }

    private static List<Object> about(Map<String, Object> message) {
        return Arrays.asList(message.get("job"), message.get("tag"));
    }

    @SuppressWarnings("unchecked") // a key that is no text came as its text
    static Map<String, Object> map(Object value) {
        return value instanceof Map ? (Map<String, Object>) value : Map.of();
    }

    private static String ingest(ZContext context, String engine) {
        Connection commands = new Connection(context, engine);
        commands.send("engine.info", null);
        Map<String, Object> info = commands.receive(ANSWER_MS);
        context.destroySocket(commands.socket);
        if (info == null) {
            throw new IllegalStateException("no engine answers at " + engine);
        } else if (!Boolean.TRUE.equals(info.get("ok"))) {
            throw new Refused(info.get("error"));
        }
        return (String) map(info.get("endpoints")).get("ingest");
    }

    private static int serve(Map<String, Maker> makers, String[] arguments) {
        String engine = "tcp://127.0.0.1:5570", name = null;
        for (int i = 0; i < arguments.length; i += 2) {
            if (i + 1 == arguments.length || !List.of("--engine", "--name").contains(arguments[i])) {
                System.err.println("usage: Worker [--engine ENDPOINT] [--name NAME]");
                return 2;
            } else if (arguments[i].equals("--engine")) {
                engine = arguments[i + 1];
            } else {
                name = arguments[i + 1];
            }
        }
        try {
            ZContext context = new ZContext();
            Worker worker = new Worker(new Connection(context, ingest(context, engine)), makers, name);
            Thread main = Thread.currentThread();
            Runtime.getRuntime().addShutdownHook(new Thread(() -> { // interrupted or terminated
                worker.stop();
                try {
                    main.join();
                } catch (InterruptedException problem) {
                    main.interrupt();
                }
            }));
            worker.run();
            return 0;
        } catch (RuntimeException problem) {
            System.err.println("Worker: " + problem.getMessage());
            return 1;
        }
    }

    public static void main(String[] arguments) {
        Runtime.getRuntime().halt(serve(Map.of("example:lines:v1", Lines::new), arguments)); // a signal's status would say that it failed
    }
}
