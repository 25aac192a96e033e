using Iced.Intel;

namespace Hydragen.Cpu;

/// <summary>
/// What an instruction set can do at most in products of BF16 pairs: loops of its fastest instruction for them, and nothing else.
/// Immutable; calls may run on any thread.
/// </summary>
internal sealed unsafe class PairProbe : IDisposable
{
    private const ushort One = 0x3F80;

    private static readonly Lazy<PairProbe?> Tiles = new(() => AmxTile.Shared is { } tile
        ? new PairProbe("tdpbf16ps", PairProbeEmitter.TileFlops, PairProbeEmitter.EmitTiles, tile) : null);

    private static readonly Lazy<PairProbe?> Vectors = new(() => PairTile.Shared is null
        ? null : new PairProbe("vdpbf16ps", PairProbeEmitter.VectorFlops, PairProbeEmitter.EmitVectors, null));

    private readonly AmxTile? _tile;
    private readonly ExecutableMemory _code;
    private readonly NativeBlock _operands;
    private readonly nint _fromRegisters, _fromMemory;

    private PairProbe(string unit, long flopsPerRound, Action<Assembler, bool> emit, AmxTile? tile)
    {
        Unit = unit;
        FlopsPerRound = flopsPerRound;
        _tile = tile;
        var builder = new CodeBuilder();
        int fromRegisters = builder.Add(code => emit(code, false)), fromMemory = builder.Add(code => emit(code, true));
        _code = builder.Build();
        _fromRegisters = _code.Address + fromRegisters;
        _fromMemory = _code.Address + fromMemory;
        _operands = NativeAllocator.Default.Allocate(PairProbeEmitter.OperandBytes, zeroed: false);
        new Span<ushort>(_operands.Pointer, PairProbeEmitter.OperandBytes / sizeof(ushort)).Fill(One);
    }

    /// <summary>The instruction.</summary>
    public string Unit { get; }

    /// <summary>Floating-point operations of a round, two for each multiply-add.</summary>
    public long FlopsPerRound { get; }

    /// <summary>
    /// Whether the loop over the first-level cache keeps up with that on registers on an idle core, so that the quotient of both tells
    /// how busy the core is with somebody else's work.
    /// </summary>
    public bool TellsState => _tile is not null;

    /// <summary>The probe of an instruction set, or null when it has no instruction for pairs or does not run here.</summary>
    /// <param name="instructionSet">Its name, as in <see cref="CpuOptions.InstructionSet"/>; null for the one that a backend takes without options.</param>
    /// <exception cref="ArgumentException">The environment names an instruction set that does not exist.</exception>
    /// <exception cref="PlatformNotSupportedException">The environment names one that does not run here.</exception>
    public static PairProbe? For(string? instructionSet) => (instructionSet ?? InstructionSet.Select(InstructionSet.All, null, out _).Name) switch
    {
        "amx" => Tiles.Value,
        "avx512bf16" => Vectors.Value,
        _ => null,
    };

    /// <summary>Multiplies on registers alone.</summary>
    /// <param name="numRounds">At least 1.</param>
    /// <returns>The sum of all products, each of which is 1: half of the operations, up to rounding of large sums.</returns>
    public double Multiply(long numRounds) => Run(_fromRegisters, numRounds);

    /// <summary>The same with operands from the first-level cache.</summary>
    /// <param name="numRounds">At least 1.</param>
    /// <returns>As <see cref="Multiply"/>.</returns>
    public double MultiplyFromMemory(long numRounds) => Run(_fromMemory, numRounds);

    /// <summary>Frees the code and the operands; none of it may be running.</summary>
    public void Dispose()
    {
        _code.Dispose();
        _operands.Dispose();
    }

    private double Run(nint kernel, long numRounds)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(numRounds, 1);
        Span<float> sums = stackalloc float[PairProbeEmitter.SumBytes / sizeof(float)];
        sums.Clear();
        fixed (float* pointer = sums)
        {
            var arguments = new PairProbeArguments { Operands = _operands.Pointer, NumRounds = (nint)numRounds, Sums = pointer };
            _tile?.Configure();
            ((delegate* unmanaged<PairProbeArguments*, void>)kernel)(&arguments);
            _tile?.Release();
        }
        double total = 0;
        foreach (float sum in sums) total += sum;
        return total;
    }
}
