/* As much of msgpack as the protocol needs, so that the worker needs no library but JeroMQ. A program that has org.msgpack:msgpack-core
 * anyway uses that in its place.
 *
 * Maps, lists, text, bytes, whole numbers, floats, booleans and nil are Map, List, String, byte[], Long, Double, Boolean and null. */
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

final class Msgpack {
    private Msgpack() {
    }

    static byte[] pack(Object value) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try {
            pack(new DataOutputStream(bytes), value);
        } catch (IOException problem) {
            throw new UncheckedIOException(problem); // memory has none
        }
        return bytes.toByteArray();
    }

    static Object unpack(byte[] bytes) {
        return unpack(ByteBuffer.wrap(bytes));
    }

    private static void pack(DataOutputStream out, Object value) throws IOException {
        if (value == null) {
            out.writeByte(0xc0);
        } else if (value instanceof Boolean) {
            out.writeByte((Boolean) value ? 0xc3 : 0xc2);
        } else if (value instanceof Double || value instanceof Float) {
            out.writeByte(0xcb);
            out.writeDouble(((Number) value).doubleValue());
        } else if (value instanceof Number) {
            packWhole(out, ((Number) value).longValue());
        } else if (value instanceof byte[]) {
            byte[] bytes = (byte[]) value;
            packSize(out, bytes.length, 0, 0, 0xc4, 0xc5);
            out.write(bytes);
        } else if (value instanceof List) {
            List<?> list = (List<?>) value;
            packSize(out, list.size(), 0x90, 16, 0, 0xdc);
            for (Object one : list) {
                pack(out, one);
            }
        } else if (value instanceof Map) {
            Map<?, ?> map = (Map<?, ?>) value;
            packSize(out, map.size(), 0x80, 16, 0, 0xde);
            for (Map.Entry<?, ?> pair : map.entrySet()) {
                pack(out, pair.getKey());
                pack(out, pair.getValue());
            }
        } else {
            byte[] text = value.toString().getBytes(StandardCharsets.UTF_8);
            packSize(out, text.length, 0xa0, 32, 0xd9, 0xda);
            out.write(text);
        }
    }

    private static void packWhole(DataOutputStream out, long number) throws IOException {
        if (number >= -32 && number < 128) {
            out.writeByte((int) number);
        } else if (number == (int) number) {
            out.writeByte(0xd2);
            out.writeInt((int) number);
        } else {
            out.writeByte(0xd3);
            out.writeLong(number);
        }
    }

    /** In the head itself where it is below `few`, in one byte where there is a head for that (not 0), or in two or four. */
    private static void packSize(DataOutputStream out, int size, int head, int few, int head8, int head16) throws IOException {
        if (size < few) {
            out.writeByte(head | size);
        } else if (head8 != 0 && size < 256) {
            out.writeByte(head8);
            out.writeByte(size);
        } else if (size < 65536) {
            out.writeByte(head16);
            out.writeShort(size);
        } else {
            out.writeByte(head16 + 1);
            out.writeInt(size);
        }
    }

    private static Object unpack(ByteBuffer in) {
        int head = in.get() & 0xff;
        if (head < 0x80 || head >= 0xe0) {
            return (long) (byte) head;
        } else if (head < 0x90) {
            return map(in, head & 0x0f);
        } else if (head < 0xa0) {
            return list(in, head & 0x0f);
        } else if (head < 0xc0) {
            return text(in, head & 0x1f);
        }
        switch (head) {
            case 0xc0: return null;
            case 0xc2: return false;
            case 0xc3: return true;
            case 0xc4: return bytes(in, in.get() & 0xff);
            case 0xc5: return bytes(in, in.getShort() & 0xffff);
            case 0xc6: return bytes(in, in.getInt());
            case 0xca: return (double) in.getFloat();
            case 0xcb: return in.getDouble();
            case 0xcc: return (long) (in.get() & 0xff);
            case 0xcd: return (long) (in.getShort() & 0xffff);
            case 0xce: return in.getInt() & 0xffffffffL;
            case 0xcf: case 0xd3: return in.getLong();
            case 0xd0: return (long) in.get();
            case 0xd1: return (long) in.getShort();
            case 0xd2: return (long) in.getInt();
            case 0xd9: return text(in, in.get() & 0xff);
            case 0xda: return text(in, in.getShort() & 0xffff);
            case 0xdb: return text(in, in.getInt());
            case 0xdc: return list(in, in.getShort() & 0xffff);
            case 0xdd: return list(in, in.getInt());
            case 0xde: return map(in, in.getShort() & 0xffff);
            case 0xdf: return map(in, in.getInt());
            default: throw new IllegalArgumentException(String.format("the protocol has no value that begins with 0x%02x", head));
        }
    }

    private static byte[] bytes(ByteBuffer in, int size) {
        byte[] bytes = new byte[size];
        in.get(bytes);
        return bytes;
    }

    private static String text(ByteBuffer in, int size) {
        return new String(bytes(in, size), StandardCharsets.UTF_8);
    }

    private static List<Object> list(ByteBuffer in, int size) {
        List<Object> list = new ArrayList<>();
        for (int i = 0; i < size; i++) {
            list.add(unpack(in));
        }
        return list;
    }

    private static Map<String, Object> map(ByteBuffer in, int size) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < size; i++) {
            map.put(String.valueOf(unpack(in)), unpack(in));
        }
        return map;
    }
}
