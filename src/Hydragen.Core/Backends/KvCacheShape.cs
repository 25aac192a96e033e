namespace Hydragen.Core;

/// <summary>What one token's keys and values look like in a cache.</summary>
/// <param name="NumLayers">Decoder layers, each with its own keys and values.</param>
/// <param name="NumKvHeads">Key/value heads.</param>
/// <param name="HeadDim">Elements of one head.</param>
/// <param name="ElementType">How an element is stored.</param>
public sealed record KvCacheShape(int NumLayers, int NumKvHeads, int HeadDim, ElementType ElementType)
{
    /// <summary>Bytes that the keys and values of one token take over all layers, scales included.</summary>
    public long BytesPerToken => 2L * NumLayers * NumKvHeads * (HeadDim * ElementType.SizeInBytes() + ElementType.ScaleSizeInBytes());
}
