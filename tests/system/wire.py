"""A pipeline of Apache Beam as the bytes that any protobuf library would write, made field by field: tests that must be able to write
what no library does (another order of the maps, something damaged) make their pipelines here."""

PUBSUB = "beam:transform:pubsub_read:v1"
READ = "beam:transform:read:v1"
UNSAID, UNBOUNDED, BOUNDED = range(3)


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def text(number, value):
    """A field with a length: text, bytes or a message."""
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def number(field, value):
    return varint(field << 3) + varint(value)


def entry(field, key, value):
    """One entry of a map."""
    return text(field, text(1, key) + text(2, value))


def transform(key, urn=None, payload=b"", outputs=(), inputs=(), subtransforms=(), name=None):
    value = b"" if urn is None else text(1, text(1, urn) + (text(3, payload) if payload else b""))
    value += b"".join(text(2, one) for one in subtransforms)
    value += b"".join(entry(3, one, one) for one in inputs)
    value += b"".join(entry(4, one, one) for one in outputs)
    return entry(1, key, value + text(5, key if name is None else name))


def pcollection(key, bounded=UNBOUNDED, coder=""):
    return entry(2, key, text(1, key) + (text(2, coder) if coder else b"") + (number(3, bounded) if bounded else b""))


def coder(key, urn):
    return entry(4, key, text(1, text(1, urn)))


def read(key, topic, name=None, coder=""):
    """A Pub/Sub read with an output of its own, as two entries of the components."""
    payload = text(1, f"projects/p/topics/{topic}")
    return [transform(key, PUBSUB, payload, outputs=[f"{key}.out"], name=name), pcollection(f"{key}.out", coder=coder)]


def signature(topic):
    """The signature string of such a read."""
    return f"{PUBSUB}|{text(1, f'projects/p/topics/{topic}').hex()}"


def beam(roots, *components):
    """The pipeline: entries of its components, or lists of these."""
    parts = b"".join(part for one in components for part in ([one] if isinstance(one, bytes) else one))
    return text(1, parts) + b"".join(text(2, root) for root in roots)
