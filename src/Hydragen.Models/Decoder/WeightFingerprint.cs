using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>Numbers that ranks compare before they load: they differ when configurations, tensors or options do. Weights are not read.</summary>
internal static class WeightFingerprint
{
    public static long Of(string text) => BinaryPrimitives.ReadInt64LittleEndian(SHA256.HashData(Encoding.UTF8.GetBytes(text)));

    public static long Of(ModelConfiguration config, WeightStore store, DecoderOptions options, int maxBatchRows, ElementType computeType)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        void Add(string text)
        {
            hash.AppendData(Encoding.UTF8.GetBytes(text));
            hash.AppendData([0]);
        }
        Add(string.Create(CultureInfo.InvariantCulture, $"{config} {string.Join(' ', config.SlidingWindows)} {string.Join(' ', config.EosTokenIds)}"));
        ElementType kvType = options.KvType ?? computeType;
        Add(string.Create(CultureInfo.InvariantCulture, $"{options.WeightType} {maxBatchRows} {computeType} {kvType} {options.PrefixKvType ?? kvType} {options.KvScaling}"));
        foreach ((string name, WeightTensor tensor) in store.Tensors.OrderBy(pair => pair.Key, StringComparer.Ordinal))
            Add($"{name} {tensor.Tensor.Dtype} {tensor.Tensor.ShapeText}");
        return BinaryPrimitives.ReadInt64LittleEndian(hash.GetHashAndReset());
    }
}
