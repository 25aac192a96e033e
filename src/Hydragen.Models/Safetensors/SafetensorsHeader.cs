using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace Hydragen.Models;

/// <summary>
/// Parses and validates the JSON header of a safetensors file. Same verdict as the format's reference implementation, except
/// that these are refused as well: duplicate names and fields, more than the limits of <see cref="SafetensorsFile"/>, a metadata
/// value that is null, numbers above 2^63 − 1.
/// </summary>
internal sealed class SafetensorsHeader
{
    private readonly string _path;
    private readonly long _dataOffset;
    private readonly Dictionary<string, SafetensorsTensor> _tensors = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _metadata = new(StringComparer.Ordinal);
    private readonly long[] _dimensions = new long[SafetensorsFile.MaxRank];
    private readonly long[] _offsets = new long[2];
    private long _descriptionBytes;
    private bool _hasMetadata;

    public SafetensorsHeader(string path, SafeFileHandle handle, long headerLength, long fileLength)
    {
        _path = path;
        _dataOffset = sizeof(ulong) + headerLength;
        Parse(new JsonTokenStream(path, "the header", handle, sizeof(ulong), headerLength));
        CheckTiling(fileLength);
    }

    public IReadOnlyDictionary<string, SafetensorsTensor> Tensors => _tensors;

    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    private void Parse(JsonTokenStream json)
    {
        json.Read(JsonTokenType.StartObject, "the header");
        while (true)
        {
            json.Read();
            if (json.TokenType == JsonTokenType.EndObject) break;
            string name = ReadText(ref json);
            if (name == "__metadata__") ReadMetadata(ref json);
            else ReadTensor(ref json, name);
        }
        json.ExpectEnd();
    }

    private void ReadMetadata(ref JsonTokenStream json)
    {
        if (_hasMetadata) throw json.Error("__metadata__ appears twice");
        _hasMetadata = true;
        json.Read(JsonTokenType.StartObject, "__metadata__");
        while (true)
        {
            json.Read();
            if (json.TokenType == JsonTokenType.EndObject) return;
            if (_metadata.Count == SafetensorsFile.MaxEntries) throw json.Error($"there are more than {SafetensorsFile.MaxEntries} metadata entries");
            string key = ReadText(ref json);
            json.Read(JsonTokenType.String, "metadata entry", key);
            if (!_metadata.TryAdd(key, ReadText(ref json))) throw json.Error($"metadata entry '{Shorten(key)}' appears twice");
        }
    }

    private void ReadTensor(ref JsonTokenStream json, string name)
    {
        SafetensorsDtype? dtype = null;
        int rank = -1;
        (long Begin, long End)? range = null;
        if (_tensors.Count == SafetensorsFile.MaxEntries) throw json.Error($"there are more than {SafetensorsFile.MaxEntries} tensors");
        json.Read(JsonTokenType.StartObject, "the entry", name);
        while (true)
        {
            json.Read();
            if (json.TokenType == JsonTokenType.EndObject) break;
            if (json.IsText("dtype"u8) && dtype is null)
            {
                json.Read(JsonTokenType.String, "dtype", name);
                string dtypeName = json.GetString();
                if (!SafetensorsDtypes.TryParse(dtypeName, out SafetensorsDtype parsed))
                    throw json.Error($"tensor '{Shorten(name)}' has the unknown dtype '{Shorten(dtypeName)}'");
                dtype = parsed;
            }
            else if (json.IsText("shape"u8) && rank < 0)
            {
                rank = ReadCounts(ref json, "shape", name, _dimensions);
            }
            else if (json.IsText("data_offsets"u8) && range is null)
            {
                int count = ReadCounts(ref json, "data_offsets", name, _offsets);
                if (count != 2) throw json.Error($"data_offsets of '{Shorten(name)}' has {count} numbers; 2 are needed");
                range = (_offsets[0], _offsets[1]);
            }
            else if (json.IsText("dtype"u8) || json.IsText("shape"u8) || json.IsText("data_offsets"u8))
            {
                throw json.Error($"the entry of '{Shorten(name)}' has a field twice");
            }
            else
            {
                // An unknown field is ignored, as the reference does, but must be text.
                ReadText(ref json);
                json.SkipValue();
            }
        }
        if (dtype is null || rank < 0 || range is null)
        {
            string missing = dtype is null ? "dtype" : rank < 0 ? "shape" : "data_offsets";
            throw json.Error($"the entry of tensor '{Shorten(name)}' has no {missing}");
        }
        AddTensor(ref json, name, dtype.Value, _dimensions.AsSpan(0, rank), range.Value);
    }

    private void AddTensor(ref JsonTokenStream json, string name, SafetensorsDtype dtype, ReadOnlySpan<long> shape, (long Begin, long End) range)
    {
        if (range.End < range.Begin) throw json.Error($"data_offsets of tensor '{Shorten(name)}' run backwards, from {range.Begin} to {range.End}");
        long numBits;
        try
        {
            numBits = 1;
            foreach (long extent in shape) numBits = checked(numBits * extent);
            numBits = checked(numBits * dtype.SizeInBits());
        }
        catch (OverflowException)
        {
            throw json.Error($"the shape of tensor '{Shorten(name)}' has more elements than can be counted");
        }
        if (numBits % 8 != 0) throw json.Error($"tensor '{Shorten(name)}' takes {numBits} bits, which is no whole number of bytes");
        if (numBits / 8 != range.End - range.Begin)
        {
            throw json.Error(
                $"tensor '{Shorten(name)}' takes {numBits / 8} bytes by its dtype and shape, but {range.End - range.Begin} by its data_offsets");
        }
        // Whether the range lies inside the file follows from the tiling, which is checked before anybody reads.
        if (range.Begin > long.MaxValue - _dataOffset) throw json.Error($"tensor '{Shorten(name)}' starts at byte {range.Begin}, beyond any file");
        Count(ref json, sizeof(long) * shape.Length);
        var tensor = new SafetensorsTensor(name, dtype, shape.ToArray(), _dataOffset + range.Begin, range.End - range.Begin);
        if (!_tensors.TryAdd(name, tensor)) throw json.Error($"tensor '{Shorten(name)}' appears twice");
    }

    private static int ReadCounts(ref JsonTokenStream json, string field, string name, long[] counts)
    {
        json.Read(JsonTokenType.StartArray, field, name);
        for (int count = 0; ; count++)
        {
            json.Read();
            if (json.TokenType == JsonTokenType.EndArray) return count;
            if (count == counts.Length) throw json.Error($"{field} of '{Shorten(name)}' has more than {counts.Length} numbers");
            counts[count] = json.GetCount(field, name);
        }
    }

    private void CheckTiling(long fileLength)
    {
        var tensors = new SafetensorsTensor[_tensors.Count];
        _tensors.Values.CopyTo(tensors, 0);
        Array.Sort(tensors, static (a, b) =>
            a.ByteOffset != b.ByteOffset ? a.ByteOffset.CompareTo(b.ByteOffset) : a.ByteLength.CompareTo(b.ByteLength));
        long end = _dataOffset;
        foreach (SafetensorsTensor tensor in tensors)
        {
            if (tensor.ByteOffset != end)
            {
                string problem = tensor.ByteOffset < end ? "overlaps the tensor before it" : "leaves a hole before it";
                throw new ModelFormatException(_path, $"tensor '{Shorten(tensor.Name)}' {problem}: it starts at file byte {tensor.ByteOffset}, expected {end}");
            }
            if (tensor.ByteLength > fileLength - end)
            {
                throw new ModelFormatException(_path,
                    $"tensor '{Shorten(tensor.Name)}' takes {tensor.ByteLength} bytes from file byte {end} on, but the file has only {fileLength} bytes");
            }
            end += tensor.ByteLength;
        }
        if (end != fileLength)
            throw new ModelFormatException(_path, $"the tensors end at file byte {end}, but the file has {fileLength} bytes");
    }

    private string ReadText(ref JsonTokenStream json)
    {
        string text = json.GetString();
        Count(ref json, 2L * text.Length);
        return text;
    }

    private void Count(ref JsonTokenStream json, long numBytes)
    {
        _descriptionBytes += numBytes;
        if (_descriptionBytes > SafetensorsFile.MaxDescriptionBytes)
            throw json.Error($"names, metadata and shapes take more than {SafetensorsFile.MaxDescriptionBytes} bytes");
    }

    private static string Shorten(string text) => JsonTokenStream.Shorten(text);
}
