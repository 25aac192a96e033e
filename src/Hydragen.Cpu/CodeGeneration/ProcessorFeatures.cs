using System.Runtime.Intrinsics.X86;

namespace Hydragen.Cpu;

/// <summary>Features of the processor that .NET has no intrinsics for.</summary>
internal static class ProcessorFeatures
{
    private const int ExtendedFeatures = 7;
    private const int Avx512Bf16Bit = 1 << 5;
    private const int AmxBf16Bit = 1 << 22, AmxTileBit = 1 << 24, AmxInt8Bit = 1 << 25;
    private const int Avx512VnniBit = 1 << 11;

    /// <summary>AVX-512 as the kernels need it, and the system saves its registers.</summary>
    public static bool HasAvx512 => Avx512F.IsSupported && Avx512BW.IsSupported && Avx512DQ.IsSupported && Avx512F.VL.IsSupported;

    /// <summary>Dot products of BF16 pairs: CPUID leaf 7, subleaf 1, EAX bit 5.</summary>
    public static bool HasAvx512Bf16 => HasAvx512
        && X86Base.CpuId(0, 0).Eax >= ExtendedFeatures && X86Base.CpuId(ExtendedFeatures, 0).Eax >= 1
        && (X86Base.CpuId(ExtendedFeatures, 1).Eax & Avx512Bf16Bit) != 0;

    /// <summary>Tiles with dot products of BF16 pairs: CPUID leaf 7, EDX bits 24 and 22. The system must permit their use besides.</summary>
    public static bool HasAmxBf16 => X86Base.IsSupported && X86Base.CpuId(0, 0).Eax >= ExtendedFeatures
        && (X86Base.CpuId(ExtendedFeatures, 0).Edx & (AmxTileBit | AmxBf16Bit)) == (AmxTileBit | AmxBf16Bit);

    /// <summary>Tiles with dot products of INT8 quads: CPUID leaf 7, EDX bit 25, on top of <see cref="HasAmxBf16"/>.</summary>
    public static bool HasAmxInt8 => HasAmxBf16 && (X86Base.CpuId(ExtendedFeatures, 0).Edx & AmxInt8Bit) != 0;

    /// <summary>Dot products of INT8 quads: CPUID leaf 7, subleaf 0, ECX bit 11.</summary>
    public static bool HasAvx512Vnni => HasAvx512
        && X86Base.CpuId(0, 0).Eax >= ExtendedFeatures && (X86Base.CpuId(ExtendedFeatures, 0).Ecx & Avx512VnniBit) != 0;
}
