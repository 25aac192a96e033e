using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;

namespace Hydragen.Cli.Tests;

/// <summary>Safetensors files put together by hand, so that they can be wrong.</summary>
internal static class SafetensorsBytes
{
    public static byte[] Of(string header, int dataBytes = 0) => Of((ulong)Encoding.UTF8.GetByteCount(header), Encoding.UTF8.GetBytes(header), new byte[dataBytes]);

    public static byte[] Of(ulong claimedHeaderBytes, params byte[][] rest)
    {
        var length = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(length, claimedHeaderBytes);
        return [.. length, .. rest.SelectMany(part => part)];
    }

    /// <summary>A valid file of FP32 tensors with one metadata entry.</summary>
    public static byte[] Of(string metadataKey, string metadataValue, IEnumerable<(string Name, int[] Shape, float[] Values)> tensors)
    {
        var header = new StringBuilder().Append(CultureInfo.InvariantCulture,
            $"{{\"__metadata__\":{{{JsonSerializer.Serialize(metadataKey)}:{JsonSerializer.Serialize(metadataValue)}}}");
        var data = new List<byte>();
        foreach ((string name, int[] shape, float[] values) in tensors)
        {
            int start = data.Count;
            data.AddRange(MemoryMarshal.AsBytes(values.AsSpan()));
            header.Append(CultureInfo.InvariantCulture,
                $",\"{name}\":{{\"dtype\":\"F32\",\"shape\":[{string.Join(',', shape)}],\"data_offsets\":[{start},{data.Count}]}}");
        }
        byte[] json = Encoding.UTF8.GetBytes(header.Append('}').ToString());
        return Of((ulong)json.Length, json, [.. data]);
    }
}
