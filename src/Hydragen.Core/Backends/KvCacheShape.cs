namespace Hydragen.Core;

/// <summary>What one token's keys and values look like in a cache.</summary>
/// <param name="NumLayers">Decoder layers, each with its own keys and values.</param>
/// <param name="NumKvHeads">Key/value heads.</param>
/// <param name="HeadDim">Elements of one head.</param>
/// <param name="ElementType">How an element is stored.</param>
/// <param name="PrefixElementType">How an element of a prefix is stored; null like all others.</param>
public sealed record KvCacheShape(int NumLayers, int NumKvHeads, int HeadDim, ElementType ElementType, ElementType? PrefixElementType = null)
{
    /// <summary>Whether prefixes have another element type, so that there are two kinds of pages.</summary>
    public bool IsMixed => TypeOf(PageKind.Prefix) != ElementType;

    /// <summary>Whether any page holds FP8, whose heads may have scales.</summary>
    public bool HasFloat8 => ElementType.IsFloat8() || TypeOf(PageKind.Prefix).IsFloat8();

    /// <summary>Bytes that the keys and values of one token of a sequence take over all layers, scales included.</summary>
    public long BytesPerToken => BytesPerTokenOf(PageKind.Suffix);

    /// <summary>Refuses scales where no page has any.</summary>
    /// <exception cref="ArgumentException">Scales are asked for, and no keys and values are FP8; or the value is undefined.</exception>
    public void CheckScaling(KvScaling scaling)
    {
        if (scaling is not (KvScaling.None or KvScaling.Calibrated)) throw new ArgumentException($"{scaling} is no scaling of keys and values.", nameof(scaling));
        if (scaling == KvScaling.None || HasFloat8) return;
        string types = IsMixed ? $"{ElementType.ShortName()} and {TypeOf(PageKind.Prefix).ShortName()}" : ElementType.ShortName();
        throw new ArgumentException(
            $"{scaling.Name()} scales are those of {ElementType.Float8E4M3.ShortName()} and {ElementType.Float8E5M2.ShortName()}, and the keys and values are {types}.", nameof(scaling));
    }

    /// <summary>How an element of a page is stored.</summary>
    public ElementType TypeOf(PageKind kind) => kind == PageKind.Prefix ? PrefixElementType ?? ElementType : ElementType;

    /// <summary>Bytes that the keys and values of one token in a page of a kind take over all layers, scales included.</summary>
    public long BytesPerTokenOf(PageKind kind) =>
        2L * NumLayers * NumKvHeads * (HeadDim * TypeOf(kind).SizeInBytes() + TypeOf(kind).ScaleSizeInBytes());
}
