using System.Numerics;
using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hydragen.Cpu;

/// <summary>
/// Emits the inner loop of a matrix product over groups (<see cref="TileArguments"/>): up to 6 rows × 4 strips of 16 sums in 24
/// registers. What is done with a group is told by <see cref="Arithmetic"/>; it may use <see cref="FirstColumn"/> and all further
/// registers.
/// </summary>
internal static class RegisterTileEmitter
{
    public const int FirstColumn = 24;
    private const int FirstFactor = 28, NumFactors = 3;

    // Registers by what they hold. The pointers with a 3 are three rows or strips on, since an address can hold twice the stride only.
    // In the loop the arguments rest on the stack, with the caller's rbx.
    private static readonly AssemblerRegister64 Arguments = rdi, A = rsi, A3 = rdx, AStride = rcx, B = r8, B3 = r9, StripStride = r10, AheadStride = r11, FirstAhead = rdi, SecondAhead = rbx, Count = rax;

    /// <summary>Emits the steps for a number of rows and strips.</summary>
    public delegate void Emitter(Assembler code, int numRows, int numStrips);

    /// <summary>Emits a multiply-add.</summary>
    public delegate void MultiplyAdd(AssemblerRegisterZMM sums, AssemblerRegisterZMM factor, AssemblerRegisterZMM column);

    /// <summary>All vector registers. The sums of a row of the tile come first, one after the other.</summary>
    public static IReadOnlyList<AssemblerRegisterZMM> Registers { get; } =
    [
        zmm0, zmm1, zmm2, zmm3, zmm4, zmm5, zmm6, zmm7, zmm8, zmm9, zmm10, zmm11, zmm12, zmm13, zmm14, zmm15, zmm16, zmm17, zmm18,
        zmm19, zmm20, zmm21, zmm22, zmm23, zmm24, zmm25, zmm26, zmm27, zmm28, zmm29, zmm30, zmm31,
    ];

    /// <summary>Emits one tile size.</summary>
    /// <param name="code">Receives the instructions.</param>
    /// <param name="numRows">1 to 6.</param>
    /// <param name="numStrips">1, 2 or 4.</param>
    /// <param name="arithmetic">What to do with a group.</param>
    public static void Emit(Assembler code, int numRows, int numStrips, Arithmetic arithmetic)
    {
        Label loop = code.CreateLabel(), last = code.CreateLabel(), sum = code.CreateLabel(), store = code.CreateLabel();
        LoadArguments(code, numRows, numStrips);
        for (int i = 0; i < numRows * numStrips; i++) code.vpxord(Registers[i], Registers[i], Registers[i]);
        arithmetic.Start?.Invoke(code);
        code.shr(Count, (byte)BitOperations.Log2((uint)arithmetic.GroupSize));
        code.jz(last);

        code.Label(ref loop);
        // For a single strip these are all one line: the processor drops some fetches, so that asking again pays.
        code.prefetcht0(__[FirstAhead]);
        code.prefetcht0(__[SecondAhead]);
        code.prefetcht0(__[FirstAhead + AheadStride]);
        code.prefetcht0(__[SecondAhead + AheadStride]);
        arithmetic.Group(code, numRows, numStrips);
        code.add(A, arithmetic.GroupBytes);
        if (numRows > 3) code.add(A3, arithmetic.GroupBytes);
        code.add(B, RegisterTile.GroupRowBytes);
        code.add(FirstAhead, RegisterTile.GroupRowBytes);
        code.add(SecondAhead, RegisterTile.GroupRowBytes);
        if (numStrips == 4) code.add(B3, RegisterTile.GroupRowBytes);
        code.dec(Count);
        code.jnz(loop);

        code.Label(ref last);
        code.pop(SecondAhead);
        code.pop(Arguments);
        if (arithmetic.OddElement is not null)
        {
            code.test(__byte_ptr[Arguments + Offset(nameof(TileArguments.Depth))], 1);
            code.jz(sum);
            arithmetic.OddElement(code, numRows, numStrips);
        }
        code.Label(ref sum);
        code.mov(A, __[Arguments + Offset(nameof(TileArguments.C))]);
        code.mov(AStride, __[Arguments + Offset(nameof(TileArguments.CStrideBytes))]);
        if (numRows > 3) code.lea(A3, __[A + AStride * 2]);
        if (numRows > 3) code.add(A3, AStride);
        code.cmp(__qword_ptr[Arguments + Offset(nameof(TileArguments.Adds))], 0);
        code.jz(store);
        ForEachSum((sums, address) => arithmetic.Add(code, sums, __zmmword_ptr[address]));
        code.Label(ref store);
        ForEachSum((sums, address) => code.vmovups(__zmmword_ptr[address], sums));

        void ForEachSum(Action<AssemblerRegisterZMM, AssemblerMemoryOperand> emit)
        {
            for (int row = 0; row < numRows; row++)
            {
                for (int strip = 0; strip < numStrips; strip++)
                    emit(Registers[row * numStrips + strip], Row(row) + strip * TileShape.StripWidth * sizeof(float));
            }
        }
    }

    /// <summary>Loads the group of each strip as it is.</summary>
    public static void LoadColumns(Assembler code, int numStrips)
    {
        for (int strip = 0; strip < numStrips; strip++) code.vmovups(Registers[FirstColumn + strip], __zmmword_ptr[Strip(strip)]);
    }

    /// <summary>Multiplies four bytes of each row, repeated in all lanes, with the columns that were loaded.</summary>
    /// <param name="code">Receives the instructions.</param>
    /// <param name="numRows">Rows.</param>
    /// <param name="numStrips">Strips.</param>
    /// <param name="offset">Where in the group the four bytes lie.</param>
    /// <param name="multiplyAdd">The instruction.</param>
    public static void MultiplyRows(Assembler code, int numRows, int numStrips, int offset, MultiplyAdd multiplyAdd)
    {
        for (int row = 0; row < numRows; row++)
        {
            code.vbroadcastss(Factor(row), __dword_ptr[Row(row) + offset]);
            for (int strip = 0; strip < numStrips; strip++) multiplyAdd(Registers[row * numStrips + strip], Factor(row), Registers[FirstColumn + strip]);
        }
    }

    /// <summary>A register for what one row contributes; neighbours have different ones.</summary>
    public static AssemblerRegisterZMM Factor(int row) => Registers[FirstFactor + row % NumFactors];

    /// <summary>Where the current group of a row lies.</summary>
    public static AssemblerMemoryOperand Row(int row) => Nth(row < 3 ? A : A3, AStride, row % 3);

    /// <summary>Where the current group of a strip lies.</summary>
    public static AssemblerMemoryOperand Strip(int strip) => Nth(strip < 3 ? B : B3, StripStride, strip % 3);

    private static void LoadArguments(Assembler code, int numRows, int numStrips)
    {
        code.mov(A, __[Arguments + Offset(nameof(TileArguments.A))]);
        code.mov(AStride, __[Arguments + Offset(nameof(TileArguments.AStrideBytes))]);
        if (numRows > 3)
        {
            code.lea(A3, __[A + AStride * 2]);
            code.add(A3, AStride);
        }
        code.mov(B, __[Arguments + Offset(nameof(TileArguments.B))]);
        code.mov(StripStride, __[Arguments + Offset(nameof(TileArguments.StripStrideBytes))]);
        if (numStrips == 4)
        {
            code.lea(B3, __[B + StripStride * 2]);
            code.add(B3, StripStride);
        }
        code.mov(Count, __[Arguments + Offset(nameof(TileArguments.Depth))]);
        code.mov(AheadStride, __[Arguments + Offset(nameof(TileArguments.AheadStrideBytes))]);
        code.push(Arguments);
        code.push(SecondAhead);
        code.mov(SecondAhead, __[Arguments + Offset(nameof(TileArguments.SecondAhead))]);
        code.mov(FirstAhead, __[Arguments + Offset(nameof(TileArguments.FirstAhead))]);
    }

    private static AssemblerMemoryOperand Nth(AssemblerRegister64 start, AssemblerRegister64 stride, int index) =>
        index == 0 ? __[start + 0] : __[start + stride * index];

    private static int Offset(string field) => (int)Marshal.OffsetOf<TileArguments>(field);

    /// <summary>What a tile does with a group.</summary>
    /// <param name="GroupSize">Elements of a group: a power of two.</param>
    /// <param name="GroupBytes">Bytes of a group of a row.</param>
    /// <param name="Group">Multiplies the group of every row with that of every strip.</param>
    /// <param name="Add">Adds sums in memory to sums in a register.</param>
    /// <param name="Start">Prepares further registers, or null.</param>
    /// <param name="OddElement">Multiplies the single element that an odd depth leaves over; null where depths are whole groups.</param>
    public sealed record Arithmetic(
        int GroupSize, int GroupBytes, Emitter Group, Action<Assembler, AssemblerRegisterZMM, AssemblerMemoryOperand> Add,
        Action<Assembler>? Start = null, Emitter? OddElement = null);
}
