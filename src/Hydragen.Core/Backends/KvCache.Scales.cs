namespace Hydragen.Core;

/// <content>Scales of FP8 keys and values.</content>
public abstract partial class KvCache
{
    private readonly KvScale[][] _scales = [[], []];
    private bool _holdsTokens;

    /// <summary>
    /// What the keys and values in pages of a kind are divided by, <c>[numLayers, numKvHeads]</c>; empty when there are no scales, which is
    /// as if all were 1.
    /// </summary>
    public ReadOnlySpan<KvScale> ScalesOf(PageKind kind) => _scales[IndexOf(kind)];

    /// <summary>The scales of a head in pages of a kind.</summary>
    public KvScale ScaleOf(PageKind kind, int layer, int kvHead)
    {
        KvScale[] scales = _scales[IndexOf(kind)];
        return scales.Length == 0 ? KvScale.One : scales[layer * Shape.NumKvHeads + kvHead];
    }

    /// <summary>
    /// Sets the scales of pages of a kind, or of all pages when all have one type: keys and values are stored divided by them, and what
    /// attention reads is multiplied with them. Only before the first key is stored.
    /// </summary>
    /// <param name="kind">Kind of the pages; their type is FP8.</param>
    /// <param name="scales">Powers of two from 1 to <see cref="KvScale.Largest"/>, <c>[numLayers, numKvHeads]</c>.</param>
    /// <exception cref="InvalidOperationException">Something is stored already.</exception>
    /// <exception cref="ArgumentException">The pages are not FP8, or a scale is none.</exception>
    /// <exception cref="InsufficientMemoryException">The device has no memory for them; nothing changed.</exception>
    public void SetScales(PageKind kind, ReadOnlySpan<KvScale> scales)
    {
        CheckScales(kind, scales);
        KvScale[] copy = scales.ToArray();
        SetDeviceScales(kind, copy);
        _scales[IndexOf(kind)] = copy;
    }

    /// <summary>
    /// Sets the scales of pages of a kind to what the largest magnitudes of each head ask for (<see cref="KvScale.For"/>); where that is 1 for all,
    /// there are none.
    /// </summary>
    /// <param name="kind">Kind of the pages; their type is FP8.</param>
    /// <param name="largest">The magnitudes, <c>[numLayers, numKvHeads]</c>.</param>
    /// <returns>What was asked for, <c>[numLayers, numKvHeads]</c>.</returns>
    /// <inheritdoc cref="SetScales" path="/exception"/>
    public KvScale[] Calibrate(PageKind kind, ReadOnlySpan<KvMagnitude> largest)
    {
        var scales = new KvScale[largest.Length];
        for (int i = 0; i < scales.Length; i++) scales[i] = Shape.TypeOf(kind).IsFloat8() ? KvScale.For(largest[i], Shape.TypeOf(kind)) : KvScale.One;
        CheckScales(kind, scales);
        if (Array.Exists(scales, scale => scale.IsScaled) || !ScalesOf(kind).IsEmpty) SetScales(kind, scales);
        return scales;
    }

    /// <summary>
    /// Finds the largest magnitudes of each head among some tokens that are stored; NaN and infinities do not count. Waits for the device.
    /// </summary>
    /// <param name="layer">Layer index.</param>
    /// <param name="slots">Slot id of each token, <c>[numTokens]</c>, in pages of FP32, BF16 or FP16.</param>
    /// <param name="largest">Receives <c>[numKvHeads]</c>.</param>
    /// <exception cref="ArgumentException">The arguments do not fit the cache, or a page holds bytes.</exception>
    public abstract void FindLargest(int layer, ReadOnlySpan<int> slots, Span<KvMagnitude> largest);

    /// <summary>Takes scales that were checked to the device; called before <see cref="ScalesOf"/> has them.</summary>
    protected virtual void SetDeviceScales(PageKind kind, ReadOnlySpan<KvScale> scales)
    {
    }

    /// <summary>Notes that something is stored: called by every operation that does.</summary>
    protected void NoteStored() => _holdsTokens = true;

    /// <summary>Checks the arguments of <see cref="FindLargest"/>.</summary>
    /// <exception cref="ArgumentException">They do not fit the cache, or a page holds bytes.</exception>
    protected void CheckFindLargest(int layer, ReadOnlySpan<int> slots, Span<KvMagnitude> largest)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        CheckLayer(layer);
        CheckSlots(slots);
        if (largest.Length != Shape.NumKvHeads) throw new ArgumentException($"{Shape.NumKvHeads} heads need as many magnitudes, not {largest.Length}.", nameof(largest));
        foreach (int slot in slots)
        {
            ElementType type = Shape.TypeOf(KindOf(slot / PageSize));
            if (type.IsByte()) throw new ArgumentException($"Magnitudes are those of FP32, BF16 or FP16, and slot {slot} is {type.ShortName()}.", nameof(slots));
        }
    }

    private void CheckScales(PageKind kind, ReadOnlySpan<KvScale> scales)
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        if (!Shape.TypeOf(kind).IsFloat8())
            throw new ArgumentException($"Only FP8 has scales for heads; these pages are {Shape.TypeOf(kind).ShortName()}.", nameof(kind));
        if (_holdsTokens) throw new InvalidOperationException("Scales can only be set while a cache is empty, and this one was written to.");
        int count = Shape.NumLayers * Shape.NumKvHeads;
        if (scales.Length != count)
            throw new ArgumentException($"{Shape.NumLayers} layers of {Shape.NumKvHeads} heads need {count} scales, not {scales.Length}.", nameof(scales));
        foreach (KvScale scale in scales)
        {
            if (!IsScale(scale.Key) || !IsScale(scale.Value))
                throw new ArgumentException($"A scale must be a power of two from 1 to 2^121, and {scale} is not.", nameof(scales));
        }
    }

    private static bool IsScale(float scale) => scale >= 1 && scale <= KvScale.Largest && float.IsPow2(scale);
}
