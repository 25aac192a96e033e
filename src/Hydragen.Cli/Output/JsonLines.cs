using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Hydragen.Cli.Output;

/// <summary>Writes one JSON value a line to a stream that stays the caller's, flushed line by line.</summary>
internal sealed class JsonLines(Stream output)
{
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private readonly ArrayBufferWriter<byte> _line = new();

    public void Write(Action<Utf8JsonWriter> write)
    {
        _line.Clear();
        using (var json = new Utf8JsonWriter(_line, Options))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }
        _line.Write("\n"u8);
        output.Write(_line.WrittenSpan);
        output.Flush();
    }
}
