using System.Runtime.CompilerServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hydragen.Cpu;

/// <summary>
/// The generated matrix product in tiles of the processor's tile unit. Immutable; calls may run on any thread that is between
/// <see cref="Configure"/> and <see cref="Release"/>.
/// </summary>
/// <remarks>
/// Products of BF16 are exact in FP32. A step of 32 terms is summed by itself, the even and the odd ones apart, and added to c; subnormal
/// inputs and sums count as zero.
/// </remarks>
internal sealed unsafe class AmxTile : IDisposable
{
    /// <summary>Lines that a step may fetch ahead for each strip.</summary>
    public static readonly int[] LinesAhead = [0, 2, 4, 8, 16];

    private static readonly (int Tiles, int Strips)[] Shapes = [(1, 1), (1, 2), (2, 1)];

    private static readonly Lazy<(AmxTile? Tile, string? WhyNot)> Process = new(() => (TryCreate((code, tiles, strips, lines) => AmxTileEmitter.Emit(code, tiles, strips, lines), out string? whyNot), whyNot));

    private readonly ExecutableMemory _code;
    private readonly nint[] _kernels = new nint[Shapes.Length * LinesAhead.Length];
    private readonly nint _configure, _release, _fetchToWrite;

    /// <summary>Generates the kernels; who makes them tests them.</summary>
    /// <param name="emit">Emits one kernel: row tiles, strips, lines ahead.</param>
    /// <exception cref="PlatformNotSupportedException">The system does not hand out executable memory.</exception>
    public AmxTile(Action<Assembler, int, int, int> emit)
    {
        var builder = new CodeBuilder();
        ForEachKernel((tiles, strips, ahead) => _kernels[Index(tiles, strips, ahead)] = builder.Add(code => emit(code, tiles, strips, LinesAhead[ahead])));
        int configure = builder.Add(code => code.ldtilecfg(__[rdi]));
        int release = builder.Add(code => code.tilerelease()), fetchToWrite = builder.Add(AmxTileEmitter.EmitFetchToWrite);
        _code = builder.Build();
        ForEachKernel((tiles, strips, ahead) => _kernels[Index(tiles, strips, ahead)] += _code.Address);
        _configure = _code.Address + configure;
        _release = _code.Address + release;
        _fetchToWrite = _code.Address + fetchToWrite;
    }

    /// <summary>The kernels of this process, made and tested on first use; null where they cannot run.</summary>
    public static AmxTile? Shared => Process.Value.Tile;

    /// <summary>Why <see cref="Shared"/> is null, or null.</summary>
    public static string? WhyNotShared => Process.Value.WhyNot;

    /// <summary>Generates the kernels and tests each on a random block against FP64.</summary>
    /// <param name="emit">Emits one kernel: <see cref="AmxTileEmitter.Emit"/>, or what a test puts in its place.</param>
    /// <param name="whyNot">Why there are none, or null.</param>
    public static AmxTile? TryCreate(Action<Assembler, int, int, int> emit, out string? whyNot)
    {
        whyNot = AmxSupport.WhyNot;
        if (whyNot is not null) return null;
        AmxTile tile;
        try
        {
            tile = new AmxTile(emit);
        }
        catch (PlatformNotSupportedException exception)
        {
            whyNot = exception.Message;
            return null;
        }
        string? failure = null;
        tile.Configure();
        ForEachKernel((tiles, strips, ahead) => failure ??= AmxTileSelfTest.Run(tile, tiles, strips, LinesAhead[ahead]));
        tile.Release();
        if (failure is null) return tile;
        whyNot = failure;
        tile.Dispose();
        return null;
    }

    /// <summary>Configures the calling thread: eight tiles of 16 rows of 64 bytes. Takes about 0.1 µs.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Configure()
    {
        var configuration = new Configuration { Palette = 1 };
        for (int i = 0; i < 8; i++)
        {
            configuration.BytesPerRow[i] = 64;
            configuration.Rows[i] = AmxTileEmitter.TileRows;
        }
        ((delegate* unmanaged<Configuration*, void>)_configure)(&configuration);
    }

    /// <summary>Gives the tiles of the calling thread up, so that switches to other threads save less.</summary>
    public void Release() => ((delegate* unmanaged<void>)_release)();

    /// <summary>Asks for the cache lines of a block that will be written soon, to own them: another core may have read or written them last.</summary>
    /// <param name="first">Any address.</param>
    /// <param name="strideBytes">Bytes from one row to the next.</param>
    /// <param name="numRows">At least 1.</param>
    /// <param name="rowBytes">Bytes of a row, at least 1.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void FetchToWrite(byte* first, nint strideBytes, nint numRows, nint rowBytes)
    {
        const nuint lineMask = 63;
        nint offset = (nint)((nuint)first & lineMask);
        ((delegate* unmanaged<byte*, nint, nint, nint, void>)_fetchToWrite)(first - offset, strideBytes, numRows, rowBytes + offset);
    }

    /// <summary>Computes one block.</summary>
    /// <param name="numTiles">Row tiles of 16 rows: 1, or 2 with one strip.</param>
    /// <param name="numStrips">1, or 2 with one row tile.</param>
    /// <param name="linesAhead">Lines to fetch ahead with each step and strip; the next smaller number of <see cref="LinesAhead"/> is used.</param>
    /// <param name="arguments">The rest.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Multiply(int numTiles, int numStrips, int linesAhead, in AmxTileArguments arguments)
    {
        int ahead = LinesAhead.Length - 1;
        while (LinesAhead[ahead] > linesAhead) ahead--;
        fixed (AmxTileArguments* pointer = &arguments)
            ((delegate* unmanaged<AmxTileArguments*, void>)_kernels[Index(numTiles, numStrips, ahead)])(pointer);
    }

    /// <summary>Computes any number of rows and strips.</summary>
    /// <param name="numRows">Rows; a and c have room for whole row tiles.</param>
    /// <param name="numStrips">Strips of b and c.</param>
    /// <param name="linesAhead">As in <see cref="Multiply"/>, for the first two row tiles.</param>
    /// <param name="ahead">Bytes from the start of what is read of each strip to what is fetched.</param>
    /// <param name="arguments">The rest.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void MultiplyRows(int numRows, int numStrips, int linesAhead, nint ahead, AmxTileArguments arguments)
    {
        int numTiles = (numRows + AmxTileEmitter.TileRows - 1) / AmxTileEmitter.TileRows;
        // Two sums: of two row tiles, or of two strips where there is one row tile only.
        int stripStep = numTiles == 1 ? 2 : 1;
        byte* a = arguments.A, c = (byte*)arguments.C;
        for (int strip = 0; strip < numStrips; strip += stripStep)
        {
            arguments.Ahead = arguments.B + ahead;
            for (int row = 0; row < numTiles; row += 2)
            {
                arguments.A = a + row * arguments.ATileBytes;
                arguments.C = (float*)(c + row * AmxTileEmitter.TileRows * arguments.CStrideBytes) + strip * TileShape.StripWidth;
                Multiply(Math.Min(2, numTiles - row), Math.Min(stripStep, numStrips - strip), row == 0 ? linesAhead : 0, arguments);
            }
            arguments.B += stripStep * arguments.StripStrideBytes;
        }
    }

    /// <summary>Frees the code; none of it may be running.</summary>
    public void Dispose() => _code.Dispose();

    private static void ForEachKernel(Action<int, int, int> action)
    {
        foreach ((int tiles, int strips) in Shapes)
        {
            for (int ahead = 0; ahead < LinesAhead.Length; ahead++) action(tiles, strips, ahead);
        }
    }

    private static int Index(int numTiles, int numStrips, int ahead) => (2 * (numTiles - 1) + numStrips - 1) * LinesAhead.Length + ahead;

    /// <summary>The memory operand of ldtilecfg.</summary>
    private struct Configuration
    {
        public byte Palette;
        public byte StartRow;
        private Reserved _reserved;
        public RowBytes BytesPerRow;
        public RowCounts Rows;

        [InlineArray(14)]
        public struct Reserved
        {
            private byte _first;
        }

        [InlineArray(16)]
        public struct RowBytes
        {
            private ushort _first;
        }

        [InlineArray(16)]
        public struct RowCounts
        {
            private byte _first;
        }
    }
}
