using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Hydragen.Cli.Output;

/// <summary>Writes one JSON value a line to standard output, flushed line by line.</summary>
internal sealed class JsonLines : IDisposable
{
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private readonly ArrayBufferWriter<byte> _line = new();
    private readonly Stream _output = Console.OpenStandardOutput();

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
        _output.Write(_line.WrittenSpan);
        _output.Flush();
    }

    public void Dispose() => _output.Dispose();
}
