using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>The fused attention kernel of one head size. Immutable; calls may run on any thread whose tiles are configured.</summary>
internal sealed unsafe class AmxAttention : IDisposable
{
    private const int UnitSteps = PairSoftmax.UnitKeys / AmxAttentionEmitter.StepKeys;
    private const int UnitPages = PairSoftmax.UnitKeys / KvCache.PageSize;
    private const int PageSteps = KvCache.PageSize / AmxAttentionEmitter.StepKeys;
    private const int PageStripBytes = KvCache.PageSize * TileShape.StripWidth * sizeof(ushort);
    private const int WeightBytes = AmxAttentionEmitter.Rows * PairSoftmax.UnitKeys * sizeof(ushort);
    private const int MaxUnits = AttentionWork.KeysPerSplit / PairSoftmax.UnitKeys;

    private readonly AmxTile _tile;
    private readonly int _headDim;
    private readonly ExecutableMemory _code;
    private readonly nint _firstUnit, _nextUnits;

    /// <summary>Generates the kernel.</summary>
    /// <exception cref="PlatformNotSupportedException">The system does not hand out executable memory.</exception>
    public AmxAttention(AmxTile tile, int headDim)
    {
        _tile = tile;
        _headDim = headDim;
        var builder = new CodeBuilder();
        int first = builder.Add(code => new AmxAttentionEmitter(headDim).Emit(code, addsValues: false));
        int next = builder.Add(code => new AmxAttentionEmitter(headDim).Emit(code, addsValues: true));
        _code = builder.Build();
        _firstUnit = _code.Address + first;
        _nextUnits = _code.Address + next;
    }

    /// <summary>Bytes that a call needs besides the state: two rings of scores and weights, totals and the steps.</summary>
    public static int ScratchBytes =>
        2 * AmxAttentionEmitter.ScoreBytes + 2 * WeightBytes + AmxAttentionEmitter.LaneBytes + MaxUnits * UnitSteps * AmxAttentionEmitter.StepBytes;

    /// <summary>Adds whole units of keys that all vectors of a block see.</summary>
    /// <param name="state">Queries and references, as <see cref="AmxAttentionState"/> describes.</param>
    /// <param name="scratch"><see cref="ScratchBytes"/> bytes.</param>
    /// <param name="sums">FP32 <c>[32, headDim]</c>.</param>
    /// <param name="totals">FP32 <c>[32, 16]</c>: lane sums; what is added to.</param>
    /// <param name="pages">Addresses of the pages' keys, two for each unit.</param>
    /// <param name="valueOffset">Bytes from keys to values.</param>
    /// <param name="factor">What scores are multiplied with.</param>
    /// <returns>Units done; fewer than there are if a reference must move first in the next one.</returns>
    public int Run(byte* state, byte* scratch, float* sums, float* totals, ReadOnlySpan<nuint> pages, nint valueOffset, float factor)
    {
        int numUnits = pages.Length / UnitPages;
        byte* scores = scratch, weights = scores + 2 * AmxAttentionEmitter.ScoreBytes, lanes = weights + 2 * WeightBytes;
        byte* steps = lanes + AmxAttentionEmitter.LaneBytes;
        DescribeSteps((nuint*)steps, sums, pages, (nuint)valueOffset);
        ScoreFirst(state, scores, pages[0]);
        float* references = (float*)(state + AmxAttentionState.ReferencesOffset);
        for (int row = 0; row < AmxAttentionEmitter.Rows; row++)
        {
            if (float.IsNegativeInfinity(references[row]))
                references[row] = PairSoftmax.Reference((float*)scores + row * TileShape.StripWidth, factor, 0, TileShape.StripWidth);
        }
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
        ((delegate* unmanaged<byte*, void>)_firstUnit)(state);
        if (left == 0 && numUnits > 1)
        {
            left = numUnits - 1;
            ((delegate* unmanaged<byte*, void>)_nextUnits)(state);
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
        if (left == 0) AddLastValues(AmxAttentionState.Field<nuint>(state, AmxAttentionState.WeightsReadOffset), sums, pages[^UnitPages..], valueOffset);
        return numUnits - (int)left;
    }

    /// <summary>Frees the code; none of it may be running.</summary>
    public void Dispose() => _code.Dispose();

    /// <summary>Of each step: the keys of the next, the sums it adds to, the values of the unit before.</summary>
    private void DescribeSteps(nuint* steps, float* sums, ReadOnlySpan<nuint> pages, nuint valueOffset)
    {
        int stepBytes = _headDim * AmxAttentionEmitter.StepKeys * sizeof(ushort), numSteps = pages.Length * PageSteps;
        int strips = _headDim / TileShape.StripWidth / UnitSteps;
        for (int step = 0; step < numSteps; step++, steps += AmxAttentionEmitter.StepBytes / sizeof(ulong))
        {
            int next = Math.Min(step + 1, numSteps - 1), part = step % UnitSteps * strips;
            steps[0] = pages[next / PageSteps] + (nuint)(next % PageSteps * stepBytes);
            steps[1] = (nuint)(sums + part * TileShape.StripWidth);
            if (step < UnitSteps) continue;
            for (int page = 0; page < UnitPages; page++)
                steps[2 + page] = pages[(step / UnitSteps - 1) * UnitPages + page] + valueOffset + (nuint)(part * PageStripBytes);
        }
    }

    private void ScoreFirst(byte* state, byte* scores, nuint keys)
    {
        int stripBytes = _headDim * TileShape.StripWidth * sizeof(ushort);
        for (int strip = 0; strip < AmxAttentionEmitter.StepKeys / TileShape.StripWidth; strip++)
        {
            _tile.Multiply(AmxAttentionEmitter.Rows / AmxTileEmitter.TileRows, 1, 0, new AmxTileArguments
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

    private void AddLastValues(nuint weights, float* sums, ReadOnlySpan<nuint> pages, nint valueOffset)
    {
        AmxTileArguments arguments = new()
        {
            AStrideBytes = AmxTileEmitter.TileDepth * sizeof(ushort),
            AStepBytes = AmxTileEmitter.TileBytes,
            ATileBytes = UnitSteps * AmxTileEmitter.TileBytes,
            StripStrideBytes = PageStripBytes,
            CStrideBytes = _headDim * sizeof(float),
            Steps = PageSteps,
            Adds = 1,
        };
        for (int page = 0; page < UnitPages; page++)
        {
            for (int strip = 0; strip < _headDim / TileShape.StripWidth; strip += 2)
            {
                arguments.B = (byte*)pages[page] + valueOffset + strip * PageStripBytes;
                for (int row = 0; row < AmxAttentionEmitter.Rows / AmxTileEmitter.TileRows; row++)
                {
                    arguments.A = (byte*)weights + row * arguments.ATileBytes + page * PageSteps * AmxTileEmitter.TileBytes;
                    arguments.C = sums + row * AmxTileEmitter.TileRows * _headDim + strip * TileShape.StripWidth;
                    _tile.Multiply(1, 2, 0, arguments);
                }
            }
        }
    }
}
