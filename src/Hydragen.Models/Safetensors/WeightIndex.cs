using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace Hydragen.Models;

/// <summary>Reads which shard holds which tensor, with bounded memory.</summary>
internal static class WeightIndex
{
    private const int MaxFileBytes = 32 << 20;
    private const int MaxTensors = 200_000;
    private const int MaxTextBytes = 16 << 20;

    /// <summary>The shard of every tensor of an index file; shard names are not checked.</summary>
    public static Dictionary<string, string> Read(string path)
    {
        using SafeFileHandle handle = SafetensorsFile.OpenRegularFile(path, out long length);
        if (length > MaxFileBytes) throw new ModelFormatException(path, $"the file has {length} bytes; at most {MaxFileBytes} are expected");
        var json = new JsonTokenStream(path, "the index", handle, 0, length);
        Dictionary<string, string>? shardOfTensor = null;
        json.Read(JsonTokenType.StartObject, "the index");
        while (true)
        {
            json.Read();
            if (json.TokenType == JsonTokenType.EndObject) break;
            if (!json.IsText("weight_map"u8)) json.SkipValue();
            else if (shardOfTensor is null) shardOfTensor = ReadMap(ref json);
            else throw json.Error("'weight_map' appears twice");
        }
        json.ExpectEnd();
        return shardOfTensor is { Count: > 0 } ? shardOfTensor : throw new ModelFormatException(path, "'weight_map' is missing or empty");
    }

    private static Dictionary<string, string> ReadMap(ref JsonTokenStream json)
    {
        var shardOfTensor = new Dictionary<string, string>(StringComparer.Ordinal);
        var shards = new HashSet<string>(StringComparer.Ordinal);
        long textBytes = 0;
        json.Read(JsonTokenType.StartObject, "'weight_map'");
        while (true)
        {
            json.Read();
            if (json.TokenType == JsonTokenType.EndObject) return shardOfTensor;
            string name = json.GetString();
            json.Read(JsonTokenType.String, "the shard", name);
            string shard = json.GetString();
            if (shards.TryGetValue(shard, out string? known)) shard = known;
            else shards.Add(shard);
            textBytes += 2L * name.Length + (known is null ? 2L * shard.Length : 0);
            if (shardOfTensor.Count == MaxTensors || textBytes > MaxTextBytes)
                throw json.Error($"'weight_map' has more than {MaxTensors} tensors, or names of more than {MaxTextBytes} bytes");
            if (!shardOfTensor.TryAdd(name, shard)) throw json.Error($"'weight_map' lists tensor '{JsonTokenStream.Shorten(name)}' twice");
        }
    }
}
