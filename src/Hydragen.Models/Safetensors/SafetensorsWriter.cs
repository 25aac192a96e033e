using System.Buffers;
using System.Buffers.Binary;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Hydragen.Models;

/// <summary>Writes safetensors files.</summary>
public static class SafetensorsWriter
{
    private const int PieceBytes = 1 << 20;
    private const int HeaderAlignment = 8;

    /// <summary>
    /// Writes a file: first to a temporary name in the same folder, then renamed, so that nobody ever sees half of it. Data is
    /// streamed; the header is padded so that the data starts at a multiple of 8 bytes.
    /// </summary>
    /// <param name="path">The file; replaced when it exists.</param>
    /// <param name="entries">The tensors, in file order.</param>
    /// <param name="metadata">Entries of <c>__metadata__</c>, or null.</param>
    /// <exception cref="ArgumentException">A name appears twice or is reserved, or a shape is invalid.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write(string path, IReadOnlyList<SafetensorsEntry> entries, IReadOnlyDictionary<string, string>? metadata = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(entries);
        byte[] header = BuildHeader(entries, metadata);
        string temporary = $"{path}.{Guid.NewGuid():N}.tmp";
        try
        {
            using (var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 1))
            {
                stream.Write(header);
                var piece = new byte[PieceBytes];
                foreach (SafetensorsEntry entry in entries) WriteData(stream, entry, piece);
            }
            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
    }

    private static void WriteData(FileStream stream, SafetensorsEntry entry, byte[] piece)
    {
        long length = entry.ByteLength;
        for (long offset = 0; offset < length; offset += piece.Length)
        {
            Span<byte> destination = piece.AsSpan(0, (int)Math.Min(piece.Length, length - offset));
            entry.Fill(offset, destination);
            stream.Write(destination);
        }
    }

    private static byte[] BuildHeader(IReadOnlyList<SafetensorsEntry> entries, IReadOnlyDictionary<string, string>? metadata)
    {
        var buffer = new ArrayBufferWriter<byte>();
        var names = new HashSet<string>(StringComparer.Ordinal) { "__metadata__" };
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            if (metadata is { Count: > 0 })
            {
                json.WriteStartObject("__metadata__");
                foreach ((string key, string value) in metadata) json.WriteString(key, value);
                json.WriteEndObject();
            }
            long offset = 0;
            foreach (SafetensorsEntry entry in entries)
            {
                if (!names.Add(entry.Name)) throw new ArgumentException($"The tensor name '{entry.Name}' is reserved or appears twice.");
                long end = checked(offset + entry.ByteLength);
                json.WriteStartObject(entry.Name);
                json.WriteString("dtype", entry.Dtype.FormatName());
                json.WriteStartArray("shape");
                foreach (long extent in entry.Shape) json.WriteNumberValue(extent);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(end);
                json.WriteEndArray();
                json.WriteEndObject();
                offset = end;
            }
            json.WriteEndObject();
        }
        int padded = (buffer.WrittenCount + HeaderAlignment - 1) / HeaderAlignment * HeaderAlignment;
        if (padded > SafetensorsFile.MaxHeaderBytes) throw new ArgumentException($"The header would take {padded} bytes; at most {SafetensorsFile.MaxHeaderBytes} are allowed.");
        var header = new byte[sizeof(ulong) + padded];
        BinaryPrimitives.WriteUInt64LittleEndian(header, (ulong)padded);
        header.AsSpan(sizeof(ulong)).Fill((byte)' ');
        buffer.WrittenSpan.CopyTo(header.AsSpan(sizeof(ulong)));
        return header;
    }
}
