namespace Hydragen.Core;

/// <summary>
/// The attention operator alone: dense tensors in, dense tensors out, no model and no engine. Meant for people with an engine of
/// their own, for tests and for measurements.
/// </summary>
public static class SharedPrefixAttention
{
    /// <summary>Computes the attention of every sequence over the nodes above it and its own tokens.</summary>
    /// <param name="backend">Runs the operator.</param>
    /// <param name="shape">Heads and head size.</param>
    /// <param name="options">Scale, biases, window and cap.</param>
    /// <param name="nodes">The prefix tree, parents before children; may be empty.</param>
    /// <param name="sequences">Any order, at any depth.</param>
    /// <param name="mode">How prefixes are stored and read.</param>
    /// <param name="kvType">How the cache stores keys and values.</param>
    /// <param name="queryType">What queries are rounded to; backends may have faster kernels for queries of the cache's 16-bit type.</param>
    /// <param name="prefixKvType">How it stores those of nodes; null like the others.</param>
    /// <param name="kvScaling">Whether FP8 is scaled by what the largest keys and values of each head ask for.</param>
    /// <returns>One result a sequence, in the order given.</returns>
    /// <exception cref="ArgumentException">
    /// A tensor does not have the size that the lengths and the shape ask for; nodes have a type of their own, but <paramref name="mode"/> copies them;
    /// or scales are asked for where nothing is FP8.
    /// </exception>
    public static SharedPrefixResult[] Compute(
        IAttentionBackend backend, AttentionShape shape, AttentionOptions options, IReadOnlyList<SharedPrefixNode> nodes,
        IReadOnlyList<SharedPrefixSequence> sequences, SharingMode mode = SharingMode.Hydragen, ElementType kvType = ElementType.Float32,
        ElementType queryType = ElementType.Float32, ElementType? prefixKvType = null, KvScaling kvScaling = KvScaling.None)
    {
        ArgumentNullException.ThrowIfNull(backend);
        var layout = new SharedPrefixLayout(shape, options, nodes, sequences, mode);
        var cacheShape = new KvCacheShape(1, shape.NumKvHeads, shape.HeadDim, kvType, prefixKvType);
        if (mode == SharingMode.Copied && cacheShape.IsMixed)
            throw new ArgumentException($"{SharingMode.Copied} gives every sequence its own copy of its prefix, so prefixes cannot have a type of their own.", nameof(prefixKvType));
        cacheShape.CheckScaling(kvScaling);
        using KvCache cache = backend.CreateKvCache(cacheShape, 0);
        cache.Reserve(cacheShape.IsMixed ? layout.NumNodePages : layout.NumPages, PageKind.Prefix);
        if (cacheShape.IsMixed) cache.Reserve(layout.NumPages - layout.NumNodePages);
        if (kvScaling == KvScaling.Calibrated) Calibrate(cache, layout);
        layout.ForEachRun((slots, key, value) => cache.Write(0, slots, key, value));

        int outputLength = layout.NumRows * shape.NumHeads * shape.HeadDim;
        using DeviceBuffer query = backend.Allocate(queryType, Math.Max(1, outputLength));
        using DeviceBuffer output = backend.Allocate(ElementType.Float32, Math.Max(1, outputLength));
        using DeviceBuffer logSumExp = backend.Allocate(ElementType.Float32, Math.Max(1, layout.NumRows * shape.NumHeads));
        query.Upload(layout.Query);
        backend.Attention(layout.Plan, shape, options, query, cache, 0, output, logSumExp);
        var outputs = new float[outputLength];
        var logSumExps = new float[layout.NumRows * shape.NumHeads];
        output.Download(outputs);
        logSumExp.Download(logSumExps);
        return layout.Split(outputs, logSumExps);
    }

    private static void Calibrate(KvCache cache, SharedPrefixLayout layout)
    {
        var largest = new KvMagnitude[2][];
        for (int kind = 0; kind < largest.Length; kind++) largest[kind] = new KvMagnitude[cache.Shape.NumKvHeads];
        layout.ForEachRun((slots, key, value) =>
        {
            KvMagnitude[] found = largest[(int)cache.KindOf(slots[0] / KvCache.PageSize)];
            for (int head = 0; head < found.Length; head++)
                found[head] = found[head].Max(KvMagnitude.Of(key, value, found.Length, cache.Shape.HeadDim, head));
        });
        foreach (PageKind kind in cache.Kinds)
        {
            if (cache.Shape.TypeOf(kind).IsFloat8()) cache.Calibrate(kind, largest[(int)kind]);
        }
    }

    /// <summary>The same by <see cref="ReferenceAttention"/>: FP64, rounded to FP32 at the end.</summary>
    /// <inheritdoc cref="Compute" path="/param"/>
    /// <inheritdoc cref="Compute" path="/returns"/>
    public static SharedPrefixResult[] ComputeReference(
        AttentionShape shape, AttentionOptions options, IReadOnlyList<SharedPrefixNode> nodes, IReadOnlyList<SharedPrefixSequence> sequences)
    {
        var layout = new SharedPrefixLayout(shape, options, nodes, sequences, SharingMode.Hydragen);
        int width = shape.NumKvHeads * shape.HeadDim;
        var key = new float[(long)layout.NumPages * KvCache.PageSize * width];
        var value = new float[key.Length];
        layout.ForEachRun((slots, runKey, runValue) =>
        {
            runKey.CopyTo(key.AsSpan(slots[0] * width));
            runValue.CopyTo(value.AsSpan(slots[0] * width));
        });
        var outputs = new double[layout.NumRows * shape.NumHeads * shape.HeadDim];
        var logSumExps = new double[layout.NumRows * shape.NumHeads];
        ReferenceAttention.Compute(layout.Plan, shape, options, layout.Query, key, value, outputs, logSumExps);
        return layout.Split(Array.ConvertAll(outputs, x => (float)x), Array.ConvertAll(logSumExps, x => (float)x));
    }
}
