using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// Where the elements of a page lie: heads <c>[layer][kvHead]</c> of keys and values, each a matrix in strips like <see cref="CpuMatrix"/>: keys as 4 strips of 16 tokens,
/// <c>[4][headDim][16]</c>, so that scores vectorise over keys; values as strips of 16 elements, <c>[paddedHeadDim / 16][64][16]</c>, so
/// that their sum vectorises over elements. For instruction sets with dot products of pairs, BF16 neighbours along the sum lie
/// together: <c>[4][headDim / 2][16][2]</c> and <c>[paddedHeadDim / 16][32][16][2]</c>. So do bytes, for every instruction set, with a sign in
/// bit 7 and a magnitude below (<see cref="IByteFormat"/>). Behind the values of INT8 stand the scales, FP16 <c>[64]</c> of the keys and
/// <c>[64]</c> of the values.
/// </summary>
internal sealed unsafe class CpuPageLayout
{
    private readonly int _elementSize, _headDim, _numHeads, _numKvHeads;

    /// <param name="shape">Layers and heads.</param>
    /// <param name="type">Element type of the page.</param>
    /// <param name="pairsBFloat16">Whether BF16 neighbours lie together.</param>
    public CpuPageLayout(KvCacheShape shape, ElementType type, bool pairsBFloat16)
    {
        ElementType = type;
        (_headDim, _numKvHeads, _numHeads) = (shape.HeadDim, shape.NumKvHeads, shape.NumLayers * shape.NumKvHeads);
        _elementSize = type.SizeInBytes();
        IsPaired = type.IsByte() || (pairsBFloat16 && type == ElementType.BFloat16);
        PaddedHeadDim = TileShape.PadToStrips(_headDim);
        ScaleOffset = (long)KvCache.PageSize * (_headDim + PaddedHeadDim) * _elementSize;
        HasScales = type.ScaleSizeInBytes() > 0;
        HeadBytes = ScaleOffset + 2L * KvCache.PageSize * type.ScaleSizeInBytes();
    }

    /// <summary>How an element is stored.</summary>
    public ElementType ElementType { get; }

    /// <summary>Whether neighbours along the sum lie together.</summary>
    public bool IsPaired { get; }

    /// <summary>Elements of a value: headDim rounded up to 16, the rest zero.</summary>
    public int PaddedHeadDim { get; }

    /// <summary>Bytes of one head's keys, values and scales in a page.</summary>
    public long HeadBytes { get; }

    /// <summary>Bytes of a page.</summary>
    public long PageBytes => HeadBytes * _numHeads;

    /// <summary>Whether elements are multiplied by a scale that a token's key, or value, of a head shares.</summary>
    public bool HasScales { get; }

    /// <summary>Bytes from a head's keys to the scales of the keys; those of the values follow.</summary>
    public long ScaleOffset { get; }

    /// <summary>Bytes from a head's keys to its values.</summary>
    public long ValueOffset => (long)KvCache.PageSize * _headDim * _elementSize;

    /// <summary>Bytes from the start of a page to a head of a layer.</summary>
    public long HeadOffset(int layer, int kvHead) => ((long)layer * _numKvHeads + kvHead) * HeadBytes;

    /// <summary>Stores one head of one token. Different tokens may be stored at the same time.</summary>
    /// <param name="converter">Rounds.</param>
    /// <param name="head">The head's part of the page.</param>
    /// <param name="token">The token's slot in the page.</param>
    /// <param name="key">FP32 <c>[headDim]</c>.</param>
    /// <param name="value">FP32 <c>[headDim]</c>.</param>
    /// <param name="scale">What they are divided by; 1 for types other than FP8.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Store(ElementConverter converter, byte* head, int token, float* key, float* value, KvScale scale)
    {
        switch (ElementType)
        {
            case ElementType.Float32:
                Scatter((uint*)head, token, (uint*)key, (uint*)value);
                break;
            case ElementType.BFloat16 or ElementType.Float16:
                ushort* rounded = stackalloc ushort[2 * AttentionShape.MaxHeadDim];
                converter.FromSingle(key, (byte*)rounded, ElementType, _headDim);
                converter.FromSingle(value, (byte*)(rounded + _headDim), ElementType, _headDim);
                Scatter((ushort*)head, token, rounded, rounded + _headDim);
                break;
            default:
                byte* bytes = stackalloc byte[2 * AttentionShape.MaxHeadDim];
                Half keyScale = converter.Bytes.FromSingle(key, ElementType, _headDim, bytes, 1 / scale.Key);
                Half valueScale = converter.Bytes.FromSingle(value, ElementType, _headDim, bytes + _headDim, 1 / scale.Value);
                Scatter(head, token, bytes, bytes + _headDim);
                if (HasScales) (Scales(head, 0)[token], Scales(head, 1)[token]) = (keyScale, valueScale);
                break;
        }
    }

    /// <summary>Copies tokens of all heads from one page to another, or within one.</summary>
    /// <param name="source">The page to read.</param>
    /// <param name="from">Its first slot.</param>
    /// <param name="destination">The page to write.</param>
    /// <param name="to">Its first slot.</param>
    /// <param name="numTokens">Tokens; both ranges lie in their pages.</param>
    public void Copy(byte* source, int from, byte* destination, int to, int numTokens)
    {
        for (int head = 0; head < _numHeads; head++, source += HeadBytes, destination += HeadBytes)
        {
            if (_elementSize == sizeof(float)) CopyTokens((uint*)source, from, (uint*)destination, to, numTokens);
            else if (_elementSize == sizeof(ushort)) CopyTokens((ushort*)source, from, (ushort*)destination, to, numTokens);
            else CopyTokens(source, from, destination, to, numTokens);
            if (!HasScales) continue;
            for (int kind = 0; kind < 2; kind++)
            {
                new ReadOnlySpan<Half>(Scales(source, kind) + from, numTokens).CopyTo(new Span<Half>(Scales(destination, kind) + to, numTokens));
            }
        }
    }

    /// <summary>The largest finite magnitudes of a token's key and value of a head; not of bytes.</summary>
    public KvMagnitude Largest(byte* head, int token)
    {
        var largest = default(KvMagnitude);
        for (int element = 0; element < _headDim; element++)
        {
            float key = MathF.Abs(Read(head, KeyIndex(token, element))), value = MathF.Abs(Read(head + ValueOffset, ValueIndex(token, element)));
            largest = largest.Max(new KvMagnitude(float.IsFinite(key) ? key : 0, float.IsFinite(value) ? value : 0));
        }
        return largest;
    }

    private float Read(byte* elements, nint index) => ElementType switch
    {
        ElementType.Float32 => ((float*)elements)[index],
        ElementType.BFloat16 => BFloat16Bits.ToSingle(((ushort*)elements)[index]),
        _ => (float)((Half*)elements)[index],
    };

    /// <summary>The scales of a head's keys (0) or values (1), <c>[64]</c>.</summary>
    private Half* Scales(byte* head, int kind) => (Half*)(head + ScaleOffset) + kind * KvCache.PageSize;

    /// <summary>Index of a key's element in a head's page; elements 2i and 2i + 1 of a pair stand side by side, or 16 apart.</summary>
    private nint KeyIndex(int token, int element)
    {
        nint strip = (nint)(token / TileShape.StripWidth) * _headDim * TileShape.StripWidth;
        int lane = token % TileShape.StripWidth;
        return IsPaired ? strip + (element / 2 * TileShape.StripWidth + lane) * 2 + element % 2 : strip + element * TileShape.StripWidth + lane;
    }

    /// <summary>Index of a value's element, counted from the start of the head's values.</summary>
    private nint ValueIndex(int token, int element)
    {
        int strip = element / TileShape.StripWidth * KvCache.PageSize * TileShape.StripWidth, lane = element % TileShape.StripWidth;
        return IsPaired ? strip + (token / 2 * TileShape.StripWidth + lane) * 2 + token % 2 : strip + token * TileShape.StripWidth + lane;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Scatter<E>(E* head, int token, E* key, E* value)
        where E : unmanaged
    {
        // Elements two apart lie equally far apart in both layouts.
        nint keyStride = 2 * TileShape.StripWidth, pairStride = KeyIndex(token, 1) - KeyIndex(token, 0);
        E* keys = head + KeyIndex(token, 0);
        for (nint i = 0; i < _headDim; i += 2, keys += keyStride)
        {
            keys[0] = key[i];
            keys[pairStride] = key[i + 1];
        }
        nint laneStride = IsPaired ? 2 : 1;
        E* values = head + KvCache.PageSize * _headDim + ValueIndex(token, 0);
        for (nint i = 0; i < _headDim; i += TileShape.StripWidth, values += KvCache.PageSize * TileShape.StripWidth)
        {
            nint count = Math.Min(TileShape.StripWidth, _headDim - i);
            for (nint lane = 0; lane < count; lane++) values[lane * laneStride] = value[i + lane];
        }
    }

    // Moving tokens in the right order makes overlap within a page safe.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void CopyTokens<E>(E* source, int from, E* destination, int to, int numTokens)
        where E : unmanaged
    {
        bool backwards = source == destination && from < to;
        E* sourceValues = source + KvCache.PageSize * _headDim, destinationValues = destination + KvCache.PageSize * _headDim;
        for (int i = 0; i < numTokens; i++)
        {
            int token = backwards ? numTokens - 1 - i : i;
            for (int element = 0; element < _headDim; element++)
            {
                destination[KeyIndex(to + token, element)] = source[KeyIndex(from + token, element)];
                destinationValues[ValueIndex(to + token, element)] = sourceValues[ValueIndex(from + token, element)];
            }
        }
    }
}
