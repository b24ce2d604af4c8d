//! The functions of JavaScript that this package calls. They are taken when the addon loads: a host that
//! replaces `JSON.parse` later must neither break a call nor change its result.

use napi::{
    Env, JsValue, Unknown,
    bindgen_prelude::{
        FnArgs, FromNapiValue, Function, FunctionRef, JsObjectValue, JsValuesTupleIntoVec, Object,
    },
};
use napi_derive::napi;

type Reference = FunctionRef<(), Unknown<'static>>;

/// The main thread and each worker have functions of their own.
pub struct Intrinsics {
    parse: Reference,
    stringify: Reference,
    keys: Reference,
    get: Reference,
}

#[napi(module_exports)]
#[allow(clippy::needless_pass_by_value)] // what napi passes
pub fn take(_exports: Object, env: Env) -> napi::Result<()> {
    let function = |object: &str, name: &str| {
        let object: Object = env.get_global()?.get_named_property_unchecked(object)?;
        let function: Function<(), Unknown> = object.get_named_property_unchecked(name)?;
        function.create_ref()
    };
    let intrinsics = Intrinsics {
        parse: function("JSON", "parse")?,
        stringify: function("JSON", "stringify")?,
        keys: function("Object", "keys")?,
        get: function("Reflect", "get")?,
    };
    env.set_instance_data(intrinsics, (), |_| ())
}

pub fn parse(env: &Env, json: String) -> napi::Result<Unknown<'_>> {
    call(env, |intrinsics| &intrinsics.parse, (json,))
}

pub fn stringify(env: &Env, value: Unknown) -> napi::Result<String> {
    call(env, |intrinsics| &intrinsics.stringify, (value,))
}

/// The object's own enumerable names.
pub fn keys(env: &Env, object: Unknown) -> napi::Result<Vec<String>> {
    call(env, |intrinsics| &intrinsics.keys, (object,))
}

/// `object[name]`. By way of JavaScript, because napi leaves the exception of a getter or a proxy pending,
/// to be thrown at the caller, but hands back that of a function.
pub fn get<'env>(env: &'env Env, object: Unknown<'env>, name: &str) -> napi::Result<Unknown<'env>> {
    call(env, |intrinsics| &intrinsics.get, (object, name.to_owned()))
}

fn call<A, R: FromNapiValue>(
    env: &Env,
    choose: impl FnOnce(&Intrinsics) -> &Reference,
    arguments: A,
) -> napi::Result<R>
where
    FnArgs<A>: JsValuesTupleIntoVec,
{
    let intrinsics: Option<&mut Intrinsics> = env.get_instance_data()?;
    let intrinsics = intrinsics.ok_or_else(|| napi::Error::from_reason("the addon was not loaded"))?;
    let function = choose(intrinsics).borrow_back(env)?.to_unknown();
    Function::<FnArgs<A>, R>::from_unknown(function)?.call(FnArgs { data: arguments })
}
