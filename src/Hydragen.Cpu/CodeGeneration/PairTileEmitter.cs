using System.Runtime.InteropServices;
using Hydragen.Core;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hydragen.Cpu;

/// <summary>
/// Emits the inner loop of a matrix product over BF16 pairs: up to 6 rows × 4 strips of FP32 sums in 24 registers. With BF16 rows,
/// <c>vdpbf16ps</c> adds two products to each sum at once; with FP32 rows the halves of each pair are widened and multiplied one
/// after the other, in the order and with the roundings of <see cref="Tile{S, V, T}"/>.
/// </summary>
internal static class PairTileEmitter
{
    private const int FirstColumn = 24, FirstFactor = 28, NumFactors = 3, UpperHalves = 31;
    private const int PairRowBytes = TileShape.StripWidth * 2 * sizeof(ushort);

    // Registers by what they hold. The pointers with a 3 are three rows or strips on, since an address can hold twice the stride only.
    // In the loop the arguments rest on the stack, with the caller's rbx.
    private static readonly AssemblerRegister64 Arguments = rdi, A = rsi, A3 = rdx, AStride = rcx, B = r8, B3 = r9, StripStride = r10, AheadStride = r11, FirstAhead = rdi, SecondAhead = rbx, Count = rax;

    private static readonly AssemblerRegisterZMM[] Registers =
    [
        zmm0, zmm1, zmm2, zmm3, zmm4, zmm5, zmm6, zmm7, zmm8, zmm9, zmm10, zmm11, zmm12, zmm13, zmm14, zmm15, zmm16, zmm17, zmm18,
        zmm19, zmm20, zmm21, zmm22, zmm23, zmm24, zmm25, zmm26, zmm27, zmm28, zmm29, zmm30, zmm31,
    ];

    /// <summary>Emits one tile size.</summary>
    /// <param name="code">Receives the instructions.</param>
    /// <param name="numRows">1 to 6.</param>
    /// <param name="numStrips">1, 2 or 4.</param>
    /// <param name="rowType">BF16 or FP32.</param>
    public static void Emit(Assembler code, int numRows, int numStrips, ElementType rowType)
    {
        bool dots = rowType == ElementType.BFloat16;
        int pairBytes = dots ? 2 * sizeof(ushort) : 2 * sizeof(float);
        Label loop = code.CreateLabel(), last = code.CreateLabel(), sum = code.CreateLabel(), store = code.CreateLabel();
        LoadArguments(code, numRows, numStrips);
        for (int i = 0; i < numRows * numStrips; i++) code.vpxord(Registers[i], Registers[i], Registers[i]);
        if (!dots)
        {
            code.vpternlogd(Registers[UpperHalves], Registers[UpperHalves], Registers[UpperHalves], 0xFF);
            code.vpslld(Registers[UpperHalves], Registers[UpperHalves], 16);
        }
        code.shr(Count, 1);
        code.jz(last);

        code.Label(ref loop);
        code.prefetcht0(__[FirstAhead]);
        code.prefetcht0(__[SecondAhead]);
        code.prefetcht0(__[FirstAhead + AheadStride]);
        code.prefetcht0(__[SecondAhead + AheadStride]);
        if (dots)
        {
            for (int strip = 0; strip < numStrips; strip++) code.vmovups(Registers[FirstColumn + strip], __zmmword_ptr[Strip(strip)]);
            MultiplyRows(code, numRows, numStrips, 0, (sums, factor, column) => code.vdpbf16ps(sums, factor, column));
        }
        else
        {
            for (int strip = 0; strip < numStrips; strip++) code.vpslld(Registers[FirstColumn + strip], __zmmword_ptr[Strip(strip)], 16);
            MultiplyRows(code, numRows, numStrips, 0, (sums, factor, column) => code.vfmadd231ps(sums, factor, column));
            for (int strip = 0; strip < numStrips; strip++) code.vpandd(Registers[FirstColumn + strip], Registers[UpperHalves], __zmmword_ptr[Strip(strip)]);
            MultiplyRows(code, numRows, numStrips, sizeof(float), (sums, factor, column) => code.vfmadd231ps(sums, factor, column));
        }
        code.add(A, pairBytes);
        if (numRows > 3) code.add(A3, pairBytes);
        code.add(B, PairRowBytes);
        code.add(FirstAhead, PairRowBytes);
        code.add(SecondAhead, PairRowBytes);
        if (numStrips == 4) code.add(B3, PairRowBytes);
        code.dec(Count);
        code.jnz(loop);

        code.Label(ref last);
        code.pop(SecondAhead);
        code.pop(Arguments);
        code.test(__byte_ptr[Arguments + Offset(nameof(PairTileArguments.Depth))], 1);
        code.jz(sum);
        EmitLast(code, numRows, numStrips, dots);

        code.Label(ref sum);
        code.mov(A, __[Arguments + Offset(nameof(PairTileArguments.C))]);
        code.mov(AStride, __[Arguments + Offset(nameof(PairTileArguments.CStrideBytes))]);
        if (numRows > 3) code.lea(A3, __[A + AStride * 2]);
        if (numRows > 3) code.add(A3, AStride);
        code.cmp(__qword_ptr[Arguments + Offset(nameof(PairTileArguments.Adds))], 0);
        code.jz(store);
        ForEachSum((sums, address) => code.vaddps(sums, sums, __zmmword_ptr[address]));
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

    private static void LoadArguments(Assembler code, int numRows, int numStrips)
    {
        code.mov(A, __[Arguments + Offset(nameof(PairTileArguments.A))]);
        code.mov(AStride, __[Arguments + Offset(nameof(PairTileArguments.AStrideBytes))]);
        if (numRows > 3)
        {
            code.lea(A3, __[A + AStride * 2]);
            code.add(A3, AStride);
        }
        code.mov(B, __[Arguments + Offset(nameof(PairTileArguments.B))]);
        code.mov(StripStride, __[Arguments + Offset(nameof(PairTileArguments.StripStrideBytes))]);
        if (numStrips == 4)
        {
            code.lea(B3, __[B + StripStride * 2]);
            code.add(B3, StripStride);
        }
        code.mov(Count, __[Arguments + Offset(nameof(PairTileArguments.Depth))]);
        code.mov(AheadStride, __[Arguments + Offset(nameof(PairTileArguments.AheadStrideBytes))]);
        code.push(Arguments);
        code.push(SecondAhead);
        code.mov(SecondAhead, __[Arguments + Offset(nameof(PairTileArguments.SecondAhead))]);
        code.mov(FirstAhead, __[Arguments + Offset(nameof(PairTileArguments.FirstAhead))]);
    }

    // An odd depth: the last element of a row has no partner, and what follows it in memory is not the row's.
    private static void EmitLast(Assembler code, int numRows, int numStrips, bool dots)
    {
        if (!dots)
        {
            for (int strip = 0; strip < numStrips; strip++) code.vpslld(Registers[FirstColumn + strip], __zmmword_ptr[Strip(strip)], 16);
            MultiplyRows(code, numRows, numStrips, 0, (sums, factor, column) => code.vfmadd231ps(sums, factor, column));
            return;
        }
        for (int strip = 0; strip < numStrips; strip++) code.vmovups(Registers[FirstColumn + strip], __zmmword_ptr[Strip(strip)]);
        for (int row = 0; row < numRows; row++)
        {
            AssemblerRegisterZMM factor = Registers[FirstFactor + row % NumFactors];
            code.movzx(eax, __word_ptr[Row(row)]);
            code.vpbroadcastd(factor, eax);
            for (int strip = 0; strip < numStrips; strip++) code.vdpbf16ps(Registers[row * numStrips + strip], factor, Registers[FirstColumn + strip]);
        }
    }

    private static void MultiplyRows(
        Assembler code, int numRows, int numStrips, int offset, Action<AssemblerRegisterZMM, AssemblerRegisterZMM, AssemblerRegisterZMM> multiplyAdd)
    {
        for (int row = 0; row < numRows; row++)
        {
            AssemblerRegisterZMM factor = Registers[FirstFactor + row % NumFactors];
            code.vbroadcastss(factor, __dword_ptr[Row(row) + offset]);
            for (int strip = 0; strip < numStrips; strip++) multiplyAdd(Registers[row * numStrips + strip], factor, Registers[FirstColumn + strip]);
        }
    }

    private static AssemblerMemoryOperand Row(int row) => Nth(row < 3 ? A : A3, AStride, row % 3);

    private static AssemblerMemoryOperand Strip(int strip) => Nth(strip < 3 ? B : B3, StripStride, strip % 3);

    private static AssemblerMemoryOperand Nth(AssemblerRegister64 start, AssemblerRegister64 stride, int index) =>
        index == 0 ? __[start + 0] : __[start + stride * index];

    private static int Offset(string field) => (int)Marshal.OffsetOf<PairTileArguments>(field);
}
