using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hydragen.Cpu;

/// <summary>
/// Emits the fused attention kernel for one head size: a loop over steps of 32 keys for 16 or 32 query vectors. A step computes scores of the next
/// 32 keys, turns the scores of these 32 into weights, and adds a part of the weighted values of the unit of keys before, so that the tile
/// unit and the vector units work at the same time: their instructions are interleaved one by one.
/// </summary>
/// <remarks>
/// Only four tile registers are used, two sums, one a and one b, although more would spare loads: with a busy neighbour on the same
/// physical core few tiles can be renamed, and every register more that is in use makes all loads wait.
/// </remarks>
internal sealed class AmxAttentionEmitter
{
    /// <summary>Query vectors of the larger block.</summary>
    public const int Rows = MaxTiles * AmxTileEmitter.TileRows;

    /// <summary>Keys of a step.</summary>
    public const int StepKeys = 32;

    /// <summary>Bytes of the description of a step: the next keys, the sums, up to four pages of values, keys and values to fetch.</summary>
    public const int StepBytes = 64;

    /// <summary>Which part of a step's keys and values a step with two row tiles fetches.</summary>
    public const int FetchParts = 8;

    /// <summary>Bytes of the scores of a step: <c>[2 strips][2 row tiles][16][16]</c> in FP32.</summary>
    public const int ScoreBytes = Rows * StepKeys * sizeof(float);

    /// <summary>Bytes of the lane sums of a block.</summary>
    public const int LaneBytes = Rows * TileShape.StripWidth * sizeof(float);

    private const int MaxTiles = 2, StepStrips = StepKeys / TileShape.StripWidth, ScoreStripBytes = MaxTiles * AmxTileEmitter.TileBytes;
    private const int CacheLine = 64, PageStripBytes = Core.KvCache.PageSize * TileShape.StripWidth * sizeof(ushort);

    private static readonly AssemblerRegister64 State = rdi, Keys = rsi, ScoresWritten = rdx, ScoresRead = rcx, WeightsWritten = r8,
        WeightsRead = r9, Line = r10, QueryStride = r11, SumStride = r12, SumRows = r13, Step = r14, Totals = r15, Count = rax, Values = rbx, Ahead = rbp, OtherTotals = rax;

    private static readonly AssemblerRegisterTMM A = tmm2, B = tmm3;

    private static readonly AssemblerRegisterTMM[] Sums = [tmm0, tmm1];

    private static readonly AssemblerRegisterZMM Factor = zmm31, Rounding = zmm25, UpperWords = zmm24, Largest = zmm23, Zero = zmm22;

    // Lowest power first.
    private static readonly AssemblerRegisterZMM[] Coefficients = [zmm26, zmm27, zmm28, zmm29, zmm30];

    private static readonly AssemblerRegisterZMM[] Working =
        [zmm0, zmm1, zmm2, zmm3, zmm4, zmm5, zmm6, zmm7, zmm8, zmm9, zmm10, zmm11, zmm12, zmm13, zmm14, zmm15, zmm16, zmm17, zmm18, zmm19, zmm20, zmm21];

    private readonly int _headDim, _numTiles, _unitSteps;
    private int _nextWorking;

    /// <summary>Prepares the emission.</summary>
    /// <param name="headDim">Elements of a head, a multiple of 32.</param>
    /// <param name="unitKeys">Keys of a unit, a multiple of 64.</param>
    /// <param name="numTiles">
    /// Row tiles: 2, or 1. With one, memory is the bottleneck, and each step fetches as many keys and values into the second-level cache as it
    /// reads; with two, an eighth.
    /// </param>
    public AmxAttentionEmitter(int headDim, int unitKeys, int numTiles)
    {
        _headDim = headDim;
        _numTiles = numTiles;
        _unitSteps = unitKeys / StepKeys;
    }

    private int NumRows => _numTiles * AmxTileEmitter.TileRows;

    /// <summary>Strips of values that a step adds.</summary>
    private int StripsPerStep => _headDim / TileShape.StripWidth / _unitSteps;

    /// <summary>Emits the loop over whole units.</summary>
    /// <param name="code">Receives the instructions.</param>
    /// <param name="scores">Whether there are scores to turn into weights, and to compute of the next keys: not behind the last unit.</param>
    /// <param name="values">Whether values of the unit before are added: not for the first unit.</param>
    public void Emit(Assembler code, bool scores, bool values)
    {
        Label unit = code.CreateLabel(), step = code.CreateLabel(), end = code.CreateLabel();
        AssemblerRegister64[] saved = [rbx, rbp, r12, r13, r14, r15];
        foreach (AssemblerRegister64 register in saved) code.push(register);
        code.mov(ScoresRead, Field(AmxAttentionState.ScoresReadOffset));
        code.mov(ScoresWritten, Field(AmxAttentionState.ScoresWrittenOffset));
        code.mov(WeightsWritten, Field(AmxAttentionState.WeightsWrittenOffset));
        code.mov(WeightsRead, Field(AmxAttentionState.WeightsReadOffset));
        code.mov(Step, Field(AmxAttentionState.StepOffset));
        code.mov(Totals, Field(AmxAttentionState.TotalsOffset));
        code.mov(Line, CacheLine);
        code.mov(QueryStride, _headDim * sizeof(ushort));
        code.mov(SumStride, _headDim * sizeof(float));
        code.vbroadcastss(Factor, __dword_ptr[State + AmxAttentionState.FactorOffset]);
        code.vbroadcastss(Largest, __dword_ptr[State + AmxAttentionState.LargestOffset]);
        for (int i = 0; i < Coefficients.Length; i++) code.vbroadcastss(Coefficients[i], __dword_ptr[State + AmxAttentionState.CoefficientsOffset + i * sizeof(float)]);
        code.vpbroadcastd(Rounding, __dword_ptr[State + AmxAttentionState.RoundingOffset]);
        code.vmovups(UpperWords, __zmmword_ptr[State + AmxAttentionState.UpperWordsOffset]);
        code.vpxord(Zero, Zero, Zero);

        code.Label(ref unit);
        code.mov(Count, _unitSteps);
        code.Label(ref step);
        code.mov(Keys, __qword_ptr[Step]);
        if (values) code.mov(SumRows, __qword_ptr[Step + sizeof(long)]);
        Interleave(code, TileInstructions(scores, values), scores ? [.. Mix(VectorInstructions(), Prefetches())] : []);
        code.add(Step, StepBytes);
        code.add(WeightsWritten, AmxTileEmitter.TileBytes);
        code.xchg(ScoresRead, ScoresWritten);
        code.dec(Count);
        code.jnz(step);

        if (scores)
        {
            code.mov(OtherTotals, Field(AmxAttentionState.OtherTotalsOffset));
            EmitUnitEnd(code);
            code.kortestw(k2, k2);
            code.jnz(end);
            code.mov(Field(AmxAttentionState.OtherTotalsOffset), Totals);
            code.mov(Totals, OtherTotals);
        }
        code.sub(WeightsWritten, _unitSteps * AmxTileEmitter.TileBytes);
        code.xchg(WeightsRead, WeightsWritten);
        code.dec(__qword_ptr[State + AmxAttentionState.NumUnitsOffset]);
        code.jnz(unit);

        code.Label(ref end);
        code.mov(Field(AmxAttentionState.ScoresReadOffset), ScoresRead);
        code.mov(Field(AmxAttentionState.ScoresWrittenOffset), ScoresWritten);
        code.mov(Field(AmxAttentionState.WeightsWrittenOffset), WeightsWritten);
        code.mov(Field(AmxAttentionState.WeightsReadOffset), WeightsRead);
        code.mov(Field(AmxAttentionState.StepOffset), Step);
        code.mov(Field(AmxAttentionState.TotalsOffset), Totals);
        for (int i = saved.Length - 1; i >= 0; i--) code.pop(saved[i]);
    }

    private static AssemblerMemoryOperand Field(int offset) => __qword_ptr[State + offset];

    /// <summary>Spreads the vector instructions evenly between the products.</summary>
    private static void Interleave(Assembler code, List<(bool IsProduct, Action<Assembler> Emit)> tiles, List<Action<Assembler>> vectors)
    {
        int numProducts = tiles.Count(tile => tile.IsProduct), product = 0, vector = 0;
        foreach ((bool isProduct, Action<Assembler> emit) in tiles)
        {
            emit(code);
            if (!isProduct) continue;
            for (int end = vectors.Count * ++product / numProducts; vector < end; vector++) vectors[vector](code);
        }
    }

    private List<(bool IsProduct, Action<Assembler> Emit)> TileInstructions(bool scores, bool values)
    {
        var list = new List<(bool, Action<Assembler>)>();
        int scoreStrips = scores ? StepStrips : 0, valueStrips = values ? StripsPerStep : 0;
        for (int i = 0; i < Math.Max(scoreStrips, valueStrips); i++)
        {
            if (i < scoreStrips && (_numTiles > 1 || i == 0)) AddScores(list, i);
            if (i < valueStrips) AddValues(list, i);
        }
        return list;
    }

    /// <summary>Scores of one strip for two row tiles, or of both strips for one.</summary>
    private void AddScores(List<(bool, Action<Assembler>)> list, int firstStrip)
    {
        int stripBytes = _headDim * TileShape.StripWidth * sizeof(ushort);
        foreach (AssemblerRegisterTMM sum in Sums) Add(code => code.tilezero(sum));
        for (int i = 0; i < _headDim / AmxTileEmitter.TileDepth; i++)
        {
            for (int j = 0; j < Sums.Length; j++)
            {
                (int strip, int tile) = StripAndTile(j);
                int keys = strip * stripBytes + i * AmxTileEmitter.TileBytes;
                int queries = AmxAttentionState.QueriesOffset + tile * AmxTileEmitter.TileRows * _headDim * sizeof(ushort) + i * CacheLine;
                if (j == 0 || _numTiles == 1) Add(code => code.tileloaddt1(B, __[Keys + Line + keys]));
                if (j == 0 || _numTiles > 1) Add(code => code.tileloadd(A, __[State + QueryStride + queries]));
                AddProduct(list, Sums[j]);
            }
        }
        for (int j = 0; j < Sums.Length; j++)
        {
            (int strip, int tile) = StripAndTile(j);
            int scores = strip * ScoreStripBytes + tile * AmxTileEmitter.TileBytes;
            AssemblerRegisterTMM sum = Sums[j];
            Add(code => code.tilestored(__[ScoresWritten + Line + scores], sum));
        }

        (int Strip, int Tile) StripAndTile(int j) => _numTiles > 1 ? (firstStrip, j) : (firstStrip + j, 0);
        void Add(Action<Assembler> emit) => list.Add((false, emit));
    }

    private void AddValues(List<(bool, Action<Assembler>)> list, int strip)
    {
        for (int tile = 0; tile < _numTiles; tile++)
        {
            (AssemblerRegisterTMM sum, int offset) = (Sums[tile], SumOffset(tile));
            Add(code => code.tileloadd(sum, __[SumRows + SumStride + offset]));
        }
        for (int i = 0; i < _unitSteps; i++)
        {
            int page = i / 2, values = strip * PageStripBytes + i % 2 * AmxTileEmitter.TileBytes;
            if (i % 2 == 0) Add(code => code.mov(Values, __qword_ptr[Step + (2 + page) * sizeof(long)]));
            Add(code => code.tileloaddt1(B, __[Values + Line + values]));
            for (int tile = 0; tile < _numTiles; tile++)
            {
                int weights = (tile * _unitSteps + i) * AmxTileEmitter.TileBytes;
                Add(code => code.tileloadd(A, __[WeightsRead + Line + weights]));
                AddProduct(list, Sums[tile]);
            }
        }
        for (int tile = 0; tile < _numTiles; tile++)
        {
            (AssemblerRegisterTMM sum, int offset) = (Sums[tile], SumOffset(tile));
            Add(code => code.tilestored(__[SumRows + SumStride + offset], sum));
        }

        int SumOffset(int tile) => strip * CacheLine + tile * AmxTileEmitter.TileRows * _headDim * sizeof(float);
        void Add(Action<Assembler> emit) => list.Add((false, emit));
    }

    private static void AddProduct(List<(bool, Action<Assembler>)> list, AssemblerRegisterTMM sum) => list.Add((true, code => code.tdpbf16ps(sum, A, B)));

    private List<Action<Assembler>> Prefetches()
    {
        var list = new List<Action<Assembler>>();
        int bytes = StepKeys * _headDim * sizeof(ushort) / (_numTiles > 1 ? FetchParts : 1);
        for (int field = 6; field < 8; field++)
        {
            int offset = field * sizeof(long);
            list.Add(code => code.mov(Ahead, __qword_ptr[Step + offset]));
            for (int i = 0; i < bytes; i += CacheLine)
            {
                int line = i;
                list.Add(code => code.prefetcht1(__[Ahead + line]));
            }
        }
        return list;
    }

    private static IEnumerable<Action<Assembler>> Mix(List<Action<Assembler>> many, List<Action<Assembler>> others)
    {
        int other = 0;
        for (int i = 0; i < many.Count; i++)
        {
            yield return many[i];
            for (int end = others.Count * (i + 1) / many.Count; other < end; other++) yield return others[other];
        }
    }

    /// <summary>The weights of a step, row by row: the operations of <see cref="PairSoftmax"/>.</summary>
    private List<Action<Assembler>> VectorInstructions()
    {
        var list = new List<Action<Assembler>>();
        for (int row = 0; row < NumRows; row++) AddRow(list, row);
        return list;
    }

    private void AddRow(List<Action<Assembler>> list, int row)
    {
        AssemblerRegisterZMM[] exponents = [Take(), Take()], weights = [Take(), Take()], fractions = [Take(), Take()];
        int line = row * CacheLine, reference = AmxAttentionState.ReferencesOffset + row * sizeof(float), lanes = AmxAttentionState.LanesOffset + line;
        ForBoth(i => code => code.vmulps(exponents[i], Factor, __zmmword_ptr[ScoresRead + (i * ScoreStripBytes + row / AmxTileEmitter.TileRows * AmxTileEmitter.TileBytes + row % AmxTileEmitter.TileRows * CacheLine)]));
        ForBoth(i => code => code.vsubps(exponents[i], exponents[i], __dword_bcst[State + reference]));
        ForBoth(i => code => code.vreduceps(fractions[i], exponents[i], PairSoftmax.FractionControl));
        ForBoth(i => code => code.vmovaps(weights[i], Coefficients[^1]));
        for (int power = Coefficients.Length - 2; power >= 0; power--)
        {
            AssemblerRegisterZMM coefficient = Coefficients[power];
            ForBoth(i => code => code.vfmadd213ps(weights[i], fractions[i], coefficient));
        }
        ForBoth(i => code => code.vscalefps(weights[i], weights[i], exponents[i]));
        list.Add(code => code.vaddps(fractions[0], weights[0], weights[1]));
        list.Add(code => code.vaddps(fractions[0], fractions[0], __zmmword_ptr[State + lanes]));
        list.Add(code => code.vmovaps(__zmmword_ptr[State + lanes], fractions[0]));
        ForBoth(i => code => code.vpaddd(weights[i], weights[i], Rounding));
        list.Add(code => code.vpermt2w(weights[0], UpperWords, weights[1]));
        int destination = (row / AmxTileEmitter.TileRows * _unitSteps * AmxTileEmitter.TileRows + row % AmxTileEmitter.TileRows) * CacheLine;
        list.Add(code => code.vmovdqa64(__zmmword_ptr[WeightsWritten + destination], weights[0]));

        void ForBoth(Func<int, Action<Assembler>> emit)
        {
            for (int i = 0; i < StepStrips; i++) list.Add(emit(i));
        }
    }

    private AssemblerRegisterZMM Take() => Working[_nextWorking++ % Working.Length];

    /// <summary>Adds the lane sums of the unit to the totals, unless one is too large: then k2 is not zero.</summary>
    private void EmitUnitEnd(Assembler code)
    {
        code.kxorw(k2, k2, k2);
        for (int row = 0; row < NumRows; row++)
        {
            AssemblerRegisterZMM lanes = Take(), total = Take();
            int line = row * CacheLine;
            code.vmovaps(lanes, __zmmword_ptr[State + (AmxAttentionState.LanesOffset + line)]);
            code.vcmpps(k1, lanes, Largest, 0x1E);
            code.korw(k2, k2, k1);
            code.vaddps(total, lanes, __zmmword_ptr[Totals + line]);
            code.vmovaps(__zmmword_ptr[OtherTotals + line], total);
            code.vmovaps(__zmmword_ptr[State + (AmxAttentionState.LanesOffset + line)], Zero);
        }
    }
}
