using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>
/// The functions of NVRTC that are used. They return a status, 0 for success. Ask <see cref="NativeLibraries.HasCompiler"/> before
/// the first call.
/// </summary>
internal static unsafe partial class CompilerApi
{
    [LibraryImport(NativeLibraries.Compiler, EntryPoint = "nvrtcVersion")]
    public static partial int Version(out int major, out int minor);

    [LibraryImport(NativeLibraries.Compiler, EntryPoint = "nvrtcGetErrorString")]
    public static partial byte* GetErrorString(int status);

    [LibraryImport(NativeLibraries.Compiler, EntryPoint = "nvrtcCreateProgram")]
    public static partial int CreateProgram(out nint program, byte* source, byte* name, int numHeaders, byte** headers, byte** includeNames);

    [LibraryImport(NativeLibraries.Compiler, EntryPoint = "nvrtcDestroyProgram")]
    public static partial int DestroyProgram(ref nint program);

    [LibraryImport(NativeLibraries.Compiler, EntryPoint = "nvrtcCompileProgram")]
    public static partial int CompileProgram(nint program, int numOptions, byte** options);

    [LibraryImport(NativeLibraries.Compiler, EntryPoint = "nvrtcGetProgramLogSize")]
    public static partial int GetProgramLogSize(nint program, out nuint size);

    [LibraryImport(NativeLibraries.Compiler, EntryPoint = "nvrtcGetProgramLog")]
    public static partial int GetProgramLog(nint program, byte* log);

    [LibraryImport(NativeLibraries.Compiler, EntryPoint = "nvrtcGetCUBINSize")]
    public static partial int GetBinarySize(nint program, out nuint size);

    [LibraryImport(NativeLibraries.Compiler, EntryPoint = "nvrtcGetCUBIN")]
    public static partial int GetBinary(nint program, byte* binary);
}
