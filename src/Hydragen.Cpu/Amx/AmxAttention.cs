using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>The fused attention kernel of one head size. Immutable; calls may run on any thread whose tiles are configured.</summary>
internal sealed unsafe class AmxAttention : IDisposable
{
    // Longer ones read and write the sums of values less often, but few vectors, which wait for memory, take an eighth longer with them.
    private const int MostUnitKeys = 128;
    private const int PageSteps = KvCache.PageSize / AmxAttentionEmitter.StepKeys;
    private const int PageStripBytes = KvCache.PageSize * TileShape.StripWidth * sizeof(ushort);
    private const int WeightBytes = AmxAttentionEmitter.Rows * PairSoftmax.MaxUnitKeys * sizeof(ushort);
    private const int MaxSteps = (AttentionWork.KeysPerSplit + PairSoftmax.MaxUnitKeys) / AmxAttentionEmitter.StepKeys;

    // Kernels live as long as the process, like the tiles.
    private static readonly ConcurrentDictionary<int, (AmxAttention? Attention, string? WhyNot)> Kept = [];

    private readonly AmxTile _tile;
    private readonly int _headDim, _unitPages, _unitSteps;
    private readonly ExecutableMemory _code;
    private readonly Kernels _few, _many;

    private AmxAttention(AmxTile tile, int headDim)
    {
        _tile = tile;
        _headDim = headDim;
        UnitKeys = Math.Min(MostUnitKeys, PairSoftmax.UnitKeys(headDim));
        _unitPages = UnitKeys / KvCache.PageSize;
        _unitSteps = _unitPages * PageSteps;
        var builder = new CodeBuilder();
        Kernels few = Add(1), many = Add(2);
        _code = builder.Build();
        _few = few.At(_code.Address);
        _many = many.At(_code.Address);

        Kernels Add(int numTiles) => new(AddKernel(numTiles, true, false), AddKernel(numTiles, true, true), AddKernel(numTiles, false, true));
        nint AddKernel(int numTiles, bool scores, bool values) => builder.Add(code => new AmxAttentionEmitter(headDim, UnitKeys, numTiles).Emit(code, scores, values));
    }

    /// <summary>The kernel for a head size, made and tested on first use; null where it cannot run. There must be <see cref="AmxTile.Shared"/>.</summary>
    /// <param name="headDim">Elements of a head, a multiple of 32.</param>
    /// <param name="whyNot">Why there is none, or null.</param>
    public static AmxAttention? Get(int headDim, out string? whyNot)
    {
        (AmxAttention? attention, whyNot) = Kept.GetOrAdd(headDim, size => (TryCreate(AmxTile.Shared!, size, out string? failure), failure));
        return attention;
    }

    private static AmxAttention? TryCreate(AmxTile tile, int headDim, out string? whyNot)
    {
        AmxAttention attention;
        try
        {
            attention = new AmxAttention(tile, headDim);
        }
        catch (PlatformNotSupportedException exception)
        {
            whyNot = exception.Message;
            return null;
        }
        whyNot = AmxAttentionSelfTest.Run(tile, attention, headDim, AmxTileEmitter.TileRows) ?? AmxAttentionSelfTest.Run(tile, attention, headDim, AmxAttentionEmitter.Rows);
        if (whyNot is null) return attention;
        attention.Dispose();
        return null;
    }

    /// <summary>Keys of a unit.</summary>
    public int UnitKeys { get; }

    /// <summary>Bytes that a call needs besides the state: two rings of scores and weights, totals and the steps.</summary>
    public static int ScratchBytes =>
        2 * AmxAttentionEmitter.ScoreBytes + 2 * WeightBytes + AmxAttentionEmitter.LaneBytes + MaxSteps * AmxAttentionEmitter.StepBytes;

    /// <summary>Adds whole units of keys that all vectors of a block see.</summary>
    /// <param name="state">Queries and references, as <see cref="AmxAttentionState"/> describes.</param>
    /// <param name="scratch"><see cref="ScratchBytes"/> bytes.</param>
    /// <param name="sums">FP32 <c>[32, headDim]</c>.</param>
    /// <param name="totals">FP32 <c>[32, 16]</c>: lane sums; what is added to.</param>
    /// <param name="numVectors">Vectors of the block: up to 16, or up to 32.</param>
    /// <param name="pages">Addresses of the pages' keys, those of whole units.</param>
    /// <param name="ahead">Addresses of the pages that will be read next, fetched meanwhile: whole for up to 16 vectors, an eighth otherwise.</param>
    /// <param name="part">Which eighth.</param>
    /// <param name="isFirst">Whether pages, sums or scratch differ from those of the call before.</param>
    /// <param name="valueOffset">Bytes from keys to values.</param>
    /// <param name="factor">What scores are multiplied with.</param>
    /// <returns>Units done; fewer than there are if a reference must move first in the next one.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public int Run(
        byte* state, byte* scratch, float* sums, float* totals, int numVectors, ReadOnlySpan<nuint> pages, ReadOnlySpan<nuint> ahead,
        int part, bool isFirst, nint valueOffset, float factor)
    {
        int numUnits = pages.Length / _unitPages, numTiles = numVectors > AmxTileEmitter.TileRows ? 2 : 1;
        Kernels kernels = numTiles > 1 ? _many : _few;
        byte* scores = scratch, weights = scores + 2 * AmxAttentionEmitter.ScoreBytes, lanes = weights + 2 * WeightBytes;
        byte* steps = lanes + AmxAttentionEmitter.LaneBytes;
        if (isFirst)
        {
            AmxAttentionState.Initialize(state);
            DescribeSteps((nuint*)steps, sums, pages, (nuint)valueOffset);
        }
        DescribeFetches((nuint*)steps, numTiles, pages, ahead, part, (nuint)valueOffset);
        ScoreFirst(state, scores, numTiles, pages[0]);
        float* references = (float*)(state + AmxAttentionState.ReferencesOffset);
        PairSoftmax.SetReferences((float*)scores, factor, references, numTiles * AmxTileEmitter.TileRows);
        AmxAttentionState.Field<nuint>(state, AmxAttentionState.ScoresReadOffset) = (nuint)scores;
        AmxAttentionState.Field<nuint>(state, AmxAttentionState.ScoresWrittenOffset) = (nuint)scores + AmxAttentionEmitter.ScoreBytes;
        AmxAttentionState.Field<nuint>(state, AmxAttentionState.WeightsWrittenOffset) = (nuint)weights;
        AmxAttentionState.Field<nuint>(state, AmxAttentionState.WeightsReadOffset) = (nuint)weights + WeightBytes;
        AmxAttentionState.Field<nuint>(state, AmxAttentionState.StepOffset) = (nuint)steps;
        AmxAttentionState.Field<nuint>(state, AmxAttentionState.TotalsOffset) = (nuint)totals;
        AmxAttentionState.Field<nuint>(state, AmxAttentionState.OtherTotalsOffset) = (nuint)lanes;
        AmxAttentionState.Field<float>(state, AmxAttentionState.FactorOffset) = factor;
        ref long left = ref AmxAttentionState.Field<long>(state, AmxAttentionState.NumUnitsOffset);
        left = 1;
        ((delegate* unmanaged<byte*, void>)kernels.FirstUnit)(state);
        if (left == 0 && numUnits > 1)
        {
            left = numUnits - 1;
            ((delegate* unmanaged<byte*, void>)kernels.NextUnits)(state);
        }
        else
        {
            left += numUnits - 1;
        }
        float* current = (float*)AmxAttentionState.Field<nuint>(state, AmxAttentionState.TotalsOffset);
        if (current != totals)
        {
            // The caller's memory outlives this call.
            new ReadOnlySpan<float>(current, AmxAttentionEmitter.LaneBytes / sizeof(float)).CopyTo(new Span<float>(totals, AmxAttentionEmitter.LaneBytes / sizeof(float)));
        }
        int numLeft = (int)left;
        if (numLeft == 0)
        {
            left = 1;
            ((delegate* unmanaged<byte*, void>)kernels.LastValues)(state);
        }
        return numUnits - numLeft;
    }

    /// <summary>Frees the code; none of it may be running.</summary>
    public void Dispose() => _code.Dispose();

    /// <summary>Of each step, and of those of a unit behind the last: the keys of the next, the sums it adds to, the values of the unit before.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void DescribeSteps(nuint* steps, float* sums, ReadOnlySpan<nuint> pages, nuint valueOffset)
    {
        int stepBytes = _headDim * AmxAttentionEmitter.StepKeys * sizeof(ushort), numSteps = pages.Length * PageSteps;
        int strips = _headDim / TileShape.StripWidth / _unitSteps;
        for (int step = 0; step < numSteps + _unitSteps; step++, steps += AmxAttentionEmitter.StepBytes / sizeof(ulong))
        {
            int next = Math.Min(step + 1, numSteps - 1), part = step % _unitSteps * strips;
            steps[0] = pages[next / PageSteps] + (nuint)(next % PageSteps * stepBytes);
            steps[1] = (nuint)(sums + part * TileShape.StripWidth);
            if (step < _unitSteps) continue;
            for (int page = 0; page < _unitPages; page++)
                steps[2 + page] = pages[(step / _unitSteps - 1) * _unitPages + page] + valueOffset + (nuint)(part * PageStripBytes);
        }
    }

    /// <summary>What each step fetches: keys and values that are read a unit later, or, for two row tiles, a part of those behind the last.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void DescribeFetches(nuint* steps, int numTiles, ReadOnlySpan<nuint> pages, ReadOnlySpan<nuint> ahead, int part, nuint valueOffset)
    {
        nuint stepBytes = (nuint)(_headDim * AmxAttentionEmitter.StepKeys * sizeof(ushort));
        nuint offset = numTiles > 1 ? stepBytes / AmxAttentionEmitter.FetchParts * (nuint)part : 0;
        for (int step = 0; step < pages.Length * PageSteps; step++, steps += AmxAttentionEmitter.StepBytes / sizeof(ulong))
        {
            int index = step / PageSteps + (numTiles > 1 ? pages.Length : _unitPages);
            nuint page = index < pages.Length ? pages[index] : ahead[Math.Min(index - pages.Length, ahead.Length - 1)];
            steps[6] = page + (nuint)(step % PageSteps) * stepBytes + offset;
            steps[7] = steps[6] + valueOffset;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ScoreFirst(byte* state, byte* scores, int numTiles, nuint keys)
    {
        int stripBytes = _headDim * TileShape.StripWidth * sizeof(ushort);
        for (int strip = 0; strip < AmxAttentionEmitter.StepKeys / TileShape.StripWidth; strip++)
        {
            _tile.Multiply(numTiles, 1, 0, new AmxTileArguments
            {
                A = state + AmxAttentionState.QueriesOffset,
                AStrideBytes = _headDim * sizeof(ushort),
                AStepBytes = AmxTileEmitter.TileDepth * sizeof(ushort),
                ATileBytes = AmxTileEmitter.TileRows * _headDim * sizeof(ushort),
                B = (byte*)keys + strip * stripBytes,
                C = (float*)(scores + strip * AmxAttentionEmitter.Rows * TileShape.StripWidth * sizeof(float)),
                CStrideBytes = TileShape.StripWidth * sizeof(float),
                Steps = _headDim / AmxTileEmitter.TileDepth,
            });
        }
    }

    /// <summary>Where the kernels for a number of row tiles begin: for a first unit, for those behind it, and for the values of the last.</summary>
    private readonly record struct Kernels(nint FirstUnit, nint NextUnits, nint LastValues)
    {
        public Kernels At(nint address) => new(address + FirstUnit, address + NextUnits, address + LastValues);
    }
}
